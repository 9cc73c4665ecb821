"""What is done on the database that both capture."""

_COLUMNS = """
    id bigint PRIMARY KEY, b boolean, i2 smallint, i4 int NOT NULL, i8 bigint, f4 real,
    f8 double precision, n numeric(12,4), nn numeric, m money,
    t text NOT NULL DEFAULT 'none', v varchar(20), c char(5),
    by bytea, d date, tm time(3), tmz timetz, ts timestamp, ts3 timestamp(3), tz timestamptz,
    iv interval, u uuid, j json, jb jsonb, x xml, net inet, mac macaddr, bits bit(9), vb varbit,
    p point, r4 int4range, rt tstzrange, ia int[], ta text[], na numeric[], ba boolean[],
    tza timestamptz[], ua uuid[], mood mood, moods mood[], pos positive
"""

# Seeded by the statement, so that both read the same values and a failure can be repeated.
_VALUES = """
    g, g % 2 = 0, (random() * 60000 - 30000)::smallint, (random() * 4e9 - 2e9)::int,
    (random() * 1.8e19 - 9e18)::bigint, (random() - 0.5)::real * 10 ^ (g % 30),
    (random() - 0.5) * 10 ^ (g % 300 - 150), ((random() - 0.5) * 1e8)::numeric(12,4),
    (random() * 10 ^ (g % 40))::numeric / 3, ((random() - 0.5) * 1e6)::numeric::money,
    repeat(chr(32 + (random() * 55000)::int % 55000), g % 5) || '"\\' || chr(1 + g % 31),
    left(md5(g::text), g % 20), left(md5(g::text), g % 6),
    decode(md5(random()::text), 'hex'), date '2000-01-01' + (random() * 4e5 - 2e5)::int,
    time '00:00' + random() * interval '23:59:59',
    (time '00:00' + random() * interval '23:00')::text::timetz,
    timestamp '2000-01-01' + (random() - 0.5) * interval '4000 years',
    timestamp '2000-01-01' + (random() - 0.5) * interval '400 years',
    timestamptz '2000-01-01' + (random() - 0.5) * interval '2000 years',
    make_interval((random() * 20 - 10)::int, (random() * 24)::int, 0, (random() * 60 - 30)::int,
        0, 0, random() * 1e5),
    md5(random()::text)::uuid, json_build_object('a', random(), 'b', md5(g::text)),
    jsonb_build_array(random(), null, md5(g::text)), xmlelement(name a, md5(g::text)),
    '10.0.0.0'::inet + (random() * 1e6)::bigint, '08:00:2b:01:02:03'::macaddr,
    ((random() * 511)::int)::bit(9), (random() * 1e6)::int::bit(20)::varbit,
    point(random() * 1e3, -random()), int4range((random() * 10)::int, 11 + (random() * 100)::int),
    tstzrange('2020-01-01+00', timestamptz '2020-01-01' + random() * interval '1 year'),
    array[g, null, (random() * 1e6)::int], array[md5(g::text), null, 'a"b,c{}'],
    array[(random() * 1e5)::numeric(9,3), null], array[true, null, false],
    array[timestamptz '2000-01-01' + random() * interval '30 years'], array[md5(g::text)::uuid],
    (array['sad', 'ok', 'happy'])[1 + g % 3]::mood, array['ok'::mood, 'sad'], 1 + g
"""


def _insert(first: int, last: int) -> str:
    rows = f"SELECT {_VALUES} FROM generate_series({first}, {last}) g"
    return f"WITH seeded AS (SELECT setseed(0.{first % 9 + 1})) INSERT INTO every {rows}"


TYPES_SETUP = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    f"CREATE TABLE every ({_COLUMNS})",
    _insert(1, 40),
)
RANDOM_ROWS = (
    _insert(1001, 1300),
    "UPDATE every SET f8 = f8 * 3, t = reverse(t), ts = ts + interval '1 us' WHERE id % 3 = 0",
    "ALTER TABLE every REPLICA IDENTITY FULL",
    "UPDATE every SET i4 = 5, na = array[null, 1.50], j = NULL WHERE id % 5 = 0",
    "DELETE FROM every WHERE id % 7 = 0",
)

_COLUMNS_OF_IDENTITIES = "a text, b int NOT NULL, c text NOT NULL DEFAULT 'dd', d numeric(6,2)"
IDENTITIES_SETUP = (
    f"CREATE TABLE id_default (id int PRIMARY KEY, {_COLUMNS_OF_IDENTITIES})",
    f"CREATE TABLE id_full (id int PRIMARY KEY, {_COLUMNS_OF_IDENTITIES})",
    "ALTER TABLE id_full REPLICA IDENTITY FULL",
    "CREATE TABLE no_key (a text, b int)",
    "CREATE TABLE index_key (a text, b int NOT NULL, c int NOT NULL)",
    "CREATE UNIQUE INDEX index_key_cb ON index_key (c, b)",
    "ALTER TABLE index_key REPLICA IDENTITY USING INDEX index_key_cb",
    "CREATE TABLE two_keys (a text, k2 int, k1 text, b int, PRIMARY KEY (k1, k2))",
    'CREATE TABLE "Weird Name.t" (id int PRIMARY KEY, "Col One" int, "u\u0308" text, "a.b" int)',
    "CREATE TABLE large (id int PRIMARY KEY, o int, t text, by bytea)",
    "ALTER TABLE large ALTER t SET STORAGE EXTERNAL, ALTER by SET STORAGE EXTERNAL",
    "CREATE TABLE empty (id int PRIMARY KEY)",
    "CREATE TABLE of_uuid (id uuid PRIMARY KEY, v text)",
    "CREATE TABLE of_time (id timestamptz PRIMARY KEY, v text)",
    "INSERT INTO id_default VALUES (1, 'a1', 11, 'x', 1.5), (2, NULL, 12, 'y', NULL)",
    "INSERT INTO id_full SELECT * FROM id_default",
    "INSERT INTO no_key VALUES ('s', 1)",
    "INSERT INTO two_keys VALUES ('s', 1, 'k', 1), ('s', 2, 'k', 1), ('s', 3, 'k', 1)",
)
IDENTITIES = (
    "INSERT INTO id_default VALUES (5, 'n', 15, 'nn', 5.25)",
    "UPDATE id_default SET a = 'u' WHERE id = 1",
    "UPDATE id_default SET id = 9 WHERE id = 2",
    "DELETE FROM id_default WHERE id = 9",
    "UPDATE id_full SET a = 'u' WHERE id = 1",
    "UPDATE id_full SET id = 9 WHERE id = 2",
    "DELETE FROM id_full",
    "INSERT INTO no_key VALUES ('t', 2), (NULL, NULL)",
    "INSERT INTO index_key VALUES ('a', 1, 2), ('b', 3, 4)",
    "UPDATE index_key SET a = 'c'",
    "UPDATE index_key SET b = 9 WHERE c = 4",
    "DELETE FROM index_key",
    "UPDATE two_keys SET a = 'u' WHERE k2 = 1",
    "UPDATE two_keys SET k1 = 'other' WHERE k2 = 2",
    "DELETE FROM two_keys WHERE k2 = 3",
    "INSERT INTO \"Weird Name.t\" VALUES (1, 2, 'x', 3)",
    'UPDATE "Weird Name.t" SET id = 2',
    (
        "INSERT INTO large SELECT g, 0, repeat(md5(g::text), 300),"
        " decode(repeat(md5(g::text), 300), 'hex')"
        " FROM generate_series(1, 3) g"
    ),
    "UPDATE large SET o = 1 WHERE id = 1",
    "UPDATE large SET id = 7 WHERE id = 2",
    "ALTER TABLE large REPLICA IDENTITY FULL",
    "UPDATE large SET o = 2",
    "INSERT INTO of_uuid VALUES ('b68a35a7-17ad-35b3-af2a-ae46edb4545a', 'v')",
    "INSERT INTO of_time VALUES ('2026-11-23 10:00:00.5+02', 'v')",
    "DELETE FROM of_uuid",
    "UPDATE of_time SET id = '2026-11-24 10:00:00.25+02'",
    "TRUNCATE id_default, two_keys",
    "TRUNCATE no_key",
)

DDL_SETUP = (
    "CREATE TABLE ev (id int PRIMARY KEY, a text, b int)",
    "INSERT INTO ev VALUES (1, 'a', 1)",
)
DDL = (
    "INSERT INTO ev VALUES (2, 'b', 2)",
    "ALTER TABLE ev ADD COLUMN c text",
    "INSERT INTO ev VALUES (3, 'c', 3, 'new')",
    "ALTER TABLE ev ADD COLUMN d int NOT NULL DEFAULT 7",
    "INSERT INTO ev VALUES (4, 'd', 4, 'x')",
    "UPDATE ev SET b = 5 WHERE id = 1",
    "ALTER TABLE ev RENAME COLUMN a TO aa",
    "INSERT INTO ev VALUES (5, 'e', 5, 'y', 8)",
    "ALTER TABLE ev DROP COLUMN b",
    "INSERT INTO ev VALUES (6, 'f', 'z', 9)",
    "ALTER TABLE ev ALTER COLUMN d TYPE bigint",
    "INSERT INTO ev VALUES (7, 'g', 'z', 10)",
    "ALTER TABLE ev DROP CONSTRAINT ev_pkey, ADD PRIMARY KEY (id, d)",
    "INSERT INTO ev VALUES (10, 'i', 'z', 11)",
    "DELETE FROM ev WHERE id = 10",
    "CREATE TABLE ev2 (id int PRIMARY KEY, v text)",
    "INSERT INTO ev2 VALUES (1, 'new table')",
    "ALTER TABLE ev2 RENAME TO ev3",
    "INSERT INTO ev3 VALUES (2, 'renamed table')",
    "DROP TABLE ev3",
    "CREATE TABLE ev2 (id int PRIMARY KEY, w int)",
    "INSERT INTO ev2 VALUES (1, 5)",
    "CREATE TYPE mood AS ENUM ('a', 'b')",
    "CREATE TABLE ev_enum (id int PRIMARY KEY, m mood)",
    "INSERT INTO ev_enum VALUES (1, 'a')",
    "ALTER TYPE mood ADD VALUE 'c'",
    "INSERT INTO ev_enum VALUES (2, 'c')",
)

TRANSACTIONS_SETUP = (
    "CREATE TABLE t1 (id int PRIMARY KEY, v text)",
    "CREATE TABLE t2 (id int PRIMARY KEY, v text)",
    "CREATE TABLE t3 (id int PRIMARY KEY, v text)",
    "INSERT INTO t1 VALUES (1, 's'), (2, 's')",
    "INSERT INTO t3 VALUES (1, 's')",
)
TRANSACTIONS = (
    "INSERT INTO t1 VALUES (12, 'single')",
    (
        "DO $$ BEGIN INSERT INTO t1 VALUES (10, 'a'); INSERT INTO t2 VALUES (10, 'a');"
        " UPDATE t1 SET v = 'b' WHERE id = 10; INSERT INTO t2 VALUES (11, 'c');"
        " DELETE FROM t2 WHERE id = 10; END $$"
    ),
    (
        "DO $$ BEGIN INSERT INTO t1 VALUES (20, 'x');"
        " BEGIN INSERT INTO t1 VALUES (21, 'gone'); RAISE 'no'; EXCEPTION WHEN raise_exception THEN"
        " END; INSERT INTO t2 VALUES (22, 'y'); END $$"
    ),
    "DO $$ BEGIN UPDATE t1 SET id = 40 WHERE id = 20; UPDATE t2 SET id = 41 WHERE id = 22; END $$",
    (
        "DO $$ BEGIN INSERT INTO t3 VALUES (2, 'x');"
        " PERFORM pg_logical_emit_message(true, 'audit', '{\"who\":\"ann\"}');"
        " INSERT INTO t3 VALUES (3, 'y'); END $$"
    ),
    "SELECT pg_logical_emit_message(true, 'audit', 'tx é')",
    "SELECT pg_logical_emit_message(false, 'audit', 'outside')",
    "SELECT pg_logical_emit_message(true, 'bin', '\\x00ff01'::bytea)",
    "SELECT pg_logical_emit_message(true, '', '')",
    "TRUNCATE t1, t2",
    "INSERT INTO t1 SELECT g, 'many' FROM generate_series(1, 3000) g",
)
