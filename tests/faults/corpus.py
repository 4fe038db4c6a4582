"""Input that has broken other programs: JSON as it must, must not and may be taken, and strings not meant well.

Owns an own corpus of the well-known classes. Where JSON_TEST_SUITE names the directory with the cases of that suite
(`y_*`, `n_*`, `i_*`), or NAUGHTY_STRINGS a JSON file with a list of strings, those are taken as well.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

DEEP = 100_000

GOOD = [
    b"[]",
    b"{}",
    b" [] ",
    b'""',
    b"0",
    b"-0",
    b"-0.0",
    b"1e-2",
    b"1E+2",
    b"123.456e78",
    b"0e+1",
    b"-0.000000000000000000000000000000000000000000000000000000000000000000000000000000001",
    b"true",
    b"false",
    b"null",
    b'{"a":"b","a":"c"}',
    b'{"":0}',
    b'{"a":{"b":[1,2,{"c":null}]}}',
    b'"\\u0060\\u012a\\u12AB"',
    b'"\\ud801\\udc37"',
    b'"\\"\\\\\\/\\b\\f\\n\\r\\t"',
    b'"\\u0000"',
    b'"\x7f"',
    b'"\xe2\x80\xa8\xe2\x80\xa9"',
    b'"\xf4\x8f\xbf\xbf"',
    b"[[[[[[[[[[]]]]]]]]]]",
    b'[1,"a",null,true,[],{}]',
]

BAD = [
    b"{",
    b"[",
    b"[1,]",
    b"[,1]",
    b"[1,,2]",
    b"[1 2]",
    b"[1]]",
    b'{"a":1,}',
    b'{"a" 1}',
    b"{a:1}",
    b"{'a':1}",
    b'{"a":1 "b":2}',
    b'{1:"a"}',
    b'{"a":1}#',
    b'{"a":/*x*/1}',
    b"// x",
    b"[NaN]",
    b"[Infinity]",
    b"[-Infinity]",
    b"[nan]",
    b"[+1]",
    b"[.5]",
    b"[5.]",
    b"[01]",
    b"[-01]",
    b"[1e]",
    b"[1e+]",
    b"[0x1]",
    b"[1_000]",
    b"[--1]",
    b"[\xef\xbc\x91]",
    b"True",
    b"nul",
    b"nulll",
    b'"',
    b"'a'",
    b'"a',
    b'"\\x00"',
    b'"\\u00A"',
    b'"\\"',
    b'"\\a"',
    b'"\t"',
    b'"\x1f"',
    b'"\x00"',
    b'"\xff"',
    b'"\xc0\xaf"',
    b'"\xed\xa0\x80"',
    b'"\xf4\xbf\xbf\xbf"',
    b"[\x0c]",
    b"[\xe2\x81\xa0]",
    b"[1]\x00",
    b"[1]x",
    b"{}{}",
    b"[\xff]",
    b"[" * DEEP,
    b'{"a":' * DEEP,
]

EITHER = [
    b"1e400",
    b"-1e400",
    b"1e-400",
    b"1" * 5_000,
    b"-" + b"9" * 30,
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'{"\\udfaa":0}',
    b"[" * 500 + b"]" * 500,
    b"[" * DEEP + b"]" * DEEP,
]

NAUGHTY = [
    "",
    " ",
    "undefined",
    "NULL",
    "-1",
    "1/0",
    "0x0",
    "١٢٣",
    "+",
    "#",
    "a/b",
    "/",
    "$aws/things/x/shadow/update",
    "../../etc/passwd",
    "..",
    "%2e%2e%2f",
    "a\x00b",
    "a\nb",
    "a\rb",
    "\t",
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x07",
    "\x7f",
    "\x9b31m",
    "\u202egnp.exe",
    "\u2066\u2069",
    "\u200b",
    "\ufeff",
    "\u2028\u2029",
    "\ufffe",
    "e\u0301" * 50,
    "👩‍👩‍👧‍👦",
    "\U0001d54b\U0001d559\U0001d556",
    "ﷺ" * 30,
    "\u0661",
    "田中さん",
    "${jndi:ldap://x/a}",
    "$(touch naughty)",
    "`touch naughty`",
    "; touch naughty",
    "| touch naughty",
    "' OR 1=1 --",
    "'; DROP TABLE chunks; --",
    "<script>alert(1)</script>",
    "%s%n%d%x",
    "{0}{record.v}{thingName}",
    "{{7*7}}",
    "event=delivered records=1000",
    '"} {"event":"delivered"',
    "-rf",
    "--help",
    "CON",
    "\\\\server\\share",
    "a" * 65,
    "a" * 10_000,
]


def json_documents() -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Give what must be taken, what must not, and what may be; each is a whole document."""
    suite = os.environ.get("JSON_TEST_SUITE")
    cases: tuple[list[bytes], ...] = (list(GOOD), list(BAD), list(EITHER))
    if suite:
        for letter, kind in zip("yni", cases, strict=True):
            kind += [path.read_bytes() for path in sorted(Path(suite).glob(f"{letter}_*.json"))]
    good, bad, either = (list(dict.fromkeys(kind)) for kind in cases)
    return _records(good), _records(bad), _records(either)


def json_cases() -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Give those of the documents that are a line."""
    good, bad, either = json_documents()
    return _one_line(good), _one_line(bad), _one_line(either)


def _records(cases: list[bytes]) -> list[bytes]:
    """Leave out what is no record: nothing, or zero bytes that a power cut left."""
    return [case for case in cases if case.strip(b" \t\r\n\0")]


def _one_line(cases: list[bytes]) -> list[bytes]:
    return [case for case in cases if b"\n" not in case and not case.endswith(b"\r")]


def naughty_strings() -> list[str]:
    """Give strings that are not meant well, each once."""
    more = os.environ.get("NAUGHTY_STRINGS")
    found = json.loads(Path(more).read_text()) if more else []
    return list(dict.fromkeys([*NAUGHTY, *found]))
