"""What is wrong though every key is right: names that clash, tables that no source captures."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import combinations

from cdc.config.problems import KeyPath, did_you_mean
from cdc.config.settings import SinkConfig, SourceConfig

Sources = Mapping[str, SourceConfig]


def meaning_problems(
    sources: Sources, sinks: Mapping[str, SinkConfig]
) -> Iterator[tuple[KeyPath, str]]:
    """Every problem that takes more than one part of the file to see."""
    for name in sources.keys() & sinks.keys():
        yield ("sinks", name), "is the name of a source as well; every name is used once"
    for first, second in combinations(sources.values(), 2):
        if first.topic_prefix == second.topic_prefix:
            message = f'has the topic prefix "{second.topic_prefix}" of "{first.name}" as well'
            yield ("sources", second.name), message
    for sink in sinks.values():
        for index, pattern in enumerate(sink.keys.from_):
            problem = _from_problem(pattern, sources)
            if problem:
                yield ("sinks", sink.name, "from", index), problem
        yield from _shared_tables(sink)


def _shared_tables(sink: SinkConfig) -> Iterator[tuple[KeyPath, str]]:
    """Tables of one name from two sources: their documents would have the same ids."""
    parts = [pattern.rpartition(":") for pattern in sink.keys.from_]
    for (_, (one, _, first)), (index, (other, _, second)) in combinations(enumerate(parts), 2):
        if one and other and one != other and _overlap(first, second):
            message = (
                f"{second} may be a table of {one} as well, and their documents would share ids; "
                "make a sink for each source"
            )
            yield ("sinks", sink.name, "from", index), message


def _from_problem(pattern: str, sources: Sources) -> str | None:
    named, colon, table = pattern.rpartition(":")
    if colon and named not in sources:
        return f'there is no source "{named}"{did_you_mean(named, sources)}'
    if not colon and len(sources) != 1:
        if not sources:
            return "there is no source in this file that could have this table"
        return f"say of which source, such as {next(iter(sources))}:{table}"
    source = sources[named] if colon else next(iter(sources.values()))
    captured = _patterns(source, "tables")
    excluded = _patterns(source, "exclude_tables")
    if captured and not any(_overlap(table, each) for each in captured):
        return (
            f'the source "{source.name}" does not capture {table}; '
            f"add it to its `tables` ({', '.join(captured)})"
        )
    if any(fnmatchcase(table, each) for each in excluded):
        return f'the source "{source.name}" excludes {table}; see its `exclude_tables`'
    return None


def _patterns(source: SourceConfig, key: str) -> Sequence[str]:
    """The source's own list of tables, empty when it has none or was not looked at."""
    settings = source.chosen.settings if source.chosen else None
    found = getattr(settings, key, None)
    return [str(each) for each in found] if isinstance(found, (list, tuple)) else []


def _overlap(one: str, other: str) -> bool:
    """Whether some table could match both patterns; may say yes too often, for two globs."""
    if "*" in one and "*" in other:
        return one.partition("*")[0].startswith(other.partition("*")[0]) or other.partition("*")[
            0
        ].startswith(one.partition("*")[0])
    return fnmatchcase(one, other) or fnmatchcase(other, one)
