"""Documents and histories that sinks are proved with, and what they must come to."""

from collections.abc import Sequence

from hypothesis import strategies as st

from cdc.protocols import Delete, Document, Mutation, Patch, Truncate, Upsert
from cdc.schema import Boolean, Column, Float64, Int64, String, TableSchema

TARGET = "public.products"
TABLE = TableSchema(
    "shop",
    "public",
    "products",
    (
        Column("id", Int64(), nullable=False),
        Column("name", String()),
        Column("price", Float64()),
        Column("sold", Boolean()),
    ),
    key=(0,),
)
WIDER = TableSchema(
    "shop", "public", "products", (*TABLE.columns, Column("colour", String())), key=(0,)
)


def product(number: int, **fields: object) -> Document:
    """A document of TABLE, with `fields` in place of the usual ones."""
    return {"id": number, "name": f"product {number}", "price": 9.5, "sold": False, **fields}


def upsert(number: int, version: int, **fields: object) -> Mutation:
    """A whole document."""
    return Mutation(TARGET, str(number), version, Upsert(product(number, **fields)))


def patch(number: int, version: int, **fields: object) -> Mutation:
    """Some fields of a document."""
    return Mutation(TARGET, str(number), version, Patch(fields))


def delete(number: int, version: int) -> Mutation:
    """A document's end."""
    return Mutation(TARGET, str(number), version, Delete())


def truncate(version: int) -> Mutation:
    """The end of all older documents."""
    return Mutation(TARGET, "", version, Truncate())


def result_of(history: Sequence[Mutation]) -> dict[str, Document]:
    """The documents after a history whose versions rise: what every order must come to."""
    documents: dict[str, Document] = {}
    for mutation in sorted(history, key=lambda one: one.version):
        action = mutation.action
        if isinstance(action, Upsert):
            documents[mutation.id] = action.document
        elif isinstance(action, Patch):
            documents[mutation.id] = {**documents[mutation.id], **action.fields}
        elif isinstance(action, Delete):
            documents.pop(mutation.id, None)
        else:
            documents = {}
    return documents


@st.composite
def histories(draw: st.DrawFn, *, patches: bool) -> list[Mutation]:
    """Up to 14 changes of three documents with versions that rise, as a source makes them."""
    history: list[Mutation] = []
    alive: set[int] = set()
    kinds = ("upsert", "upsert", "delete", "truncate", *(("patch", "patch") if patches else ()))
    for place in range(draw(st.integers(1, 14))):
        version, number = 1000 + 10 * place, draw(st.integers(1, 3))
        kind = draw(st.sampled_from(kinds))
        if kind == "truncate":
            history.append(truncate(version))
            alive.clear()
        elif kind == "delete":
            history.append(delete(number, version))
            alive.discard(number)
        elif kind == "patch" and number in alive:
            history.append(patch(number, version, name=f"renamed at {version}"))
        else:
            history.append(upsert(number, version, price=float(version)))
            alive.add(number)
    return history
