"""Messages arrive whole, however the system cut them, and what is none is not taken for one."""

import pytest

from BSAFusionLib.worker.protocol import Lines, encode


@pytest.mark.parametrize("length", [1, 7, 1000])
def test_messages_arrive_as_they_were_sent_however_they_are_cut(length):
    sent = [("job", {"job": 1, "arguments": {"name": "Größe\n", "spacing": 0.1}}), ("cancel", {"job": 1})]
    data = b"".join(encode(kind, **content) for kind, content in sent)
    lines = Lines()
    received = [message for n in range(0, len(data), length) for message in lines.feed(data[n : n + length])]
    assert received == [{"kind": kind, **content} for kind, content in sent]


def test_a_message_is_one_line_of_ascii():
    line = encode("log", text="eins\nzwei ü")
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


@pytest.mark.parametrize("line", [b"Traceback (most recent call last):", b"12", b'{"stage": "fusion"}', b"\xff\xfe"])
def test_a_line_that_is_no_message_is_given_back_as_text(line):
    assert Lines().feed(line + b"\n") == [line.decode("utf-8", "replace")]


def test_numbers_that_are_not_finite_survive():
    (message,) = Lines().feed(encode("result", result={"low": float("-inf"), "none": float("nan")}))
    assert message["result"]["low"] == float("-inf")
    assert message["result"]["none"] != message["result"]["none"]
