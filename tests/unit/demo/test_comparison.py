from demo.comparison import compare


def test_equal_documents_have_no_differences() -> None:
    compared = compare("products", {"a": {"price": "1.50"}}, {"a": {"price": "1.50"}})

    assert compared.equal
    assert compared.rows == 1
    assert compared.differences() == []


def test_missing_stale_and_extra_documents_are_told_apart() -> None:
    expected = {"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 3}}
    found = {"b": {"n": 2}, "c": {"n": 4}, "d": {"n": 5}}

    compared = compare("orders", expected, found)

    assert not compared.equal
    assert (compared.missing, compared.stale, compared.extra) == (["a"], ["c"], ["d"])


def test_an_absent_field_is_the_same_as_null() -> None:
    compared = compare("products", {"a": {"n": 1, "rating": None}}, {"a": {"n": 1}})

    assert compared.equal


def test_a_field_that_is_there_is_not_the_same_as_an_absent_one() -> None:
    compared = compare("products", {"a": {"n": 1, "rating": "4.00"}}, {"a": {"n": 1}})

    assert compared.stale == ["a"]


def test_text_and_number_are_not_the_same() -> None:
    assert compare("products", {"a": {"n": "1"}}, {"a": {"n": 1}}).stale == ["a"]


def test_differences_name_ids_and_no_values() -> None:
    expected = {f"id{n}": {"secret": "hidden"} for n in range(9)}

    (line,) = compare("customers", expected, {}).differences()

    assert line == "customers: 9 missing: id0, id1, id2, id3, id4, ..."
