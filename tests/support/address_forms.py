"""Ways to write addresses that the crawler must never connect to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

TARGETS = (
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.17.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
)
# Names that lead inside, as the name server of an attacker would answer.
NAMES = {
    "inside.test": "127.0.0.1",
    "127.0.0.1.wild.test": "127.0.0.1",
    "any.test": "0.0.0.0",
    "metadata.test": "169.254.169.254",
    "metadata.google.internal": "169.254.169.254",
    "six.test": "::1",
    "mapped.test": "::ffff:127.0.0.1",
    "nat.test": "64:ff9b::7f00:1",
    "ula.test": "fd00:ec2::254",
    "link.test": "fe80::1",
    "xn--bcher-kva.test": "127.0.0.1",
}
_SIX = (
    "::",
    "::1",
    "0:0:0:0:0:0:0:1",
    "fe80::1",
    "fe80::1%25eth0",
    "fe80::1%eth0",
    "::1%25lo",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "3fff::1",
    "64:ff9b:1::1",
    "100::1",
)


def spellings(target: str) -> Iterator[str]:
    """Hosts that some resolver or parser reads as this IPv4 address."""
    number = int(ipaddress.IPv4Address(target))
    a, b, c, d = (int(part) for part in target.split("."))
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    yield target
    yield f"{target}."
    yield str(number)
    yield hex(number)
    yield f"0{number:o}"
    yield f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"
    yield f"0{a:o}.0{b:o}.0{c:o}.0{d:o}"
    yield f"{a:04d}.{b:04d}.{c:04d}.{d:04d}"
    yield f"{a}.{number & 0xFFFFFF}"
    yield f"{a}.{b}.{number & 0xFFFF}"
    yield f"0x{a:x}.{number & 0xFFFFFF}"
    yield target.replace(".", "。")
    yield "".join(chr(ord(ch) + 0xFEE0) if ch.isdigit() else ch for ch in target)
    yield "".join(f"%{ord(ch):02x}" for ch in target)
    yield f"[::ffff:{target}]"
    yield f"[::ffff:{high}:{low}]"
    yield f"[0:0:0:0:0:ffff:{high}:{low}]"
    yield f"[::{target}]"
    yield f"[::ffff:0:{high}:{low}]"
    yield f"[64:ff9b::{target}]"
    yield f"[64:ff9b::{high}:{low}]"
    yield f"[2002:{high}:{low}::1]"


def forms(port: int) -> list[str]:
    """All of them as addresses with that port, each once."""
    hosts = [host for target in TARGETS for host in spellings(target)]
    hosts += [f"[{six}]" for six in _SIX]
    hosts += ["localhost", "LOCALHOST", "localhost.", *NAMES, *(name.upper() for name in NAMES)]
    urls = [f"http://{host}:{port}/x" for host in hosts]
    inside = f"127.0.0.1:{port}"
    urls += [
        f"https://{inside}/",
        f"http://public.test@{inside}/",
        f"http://user:word@{inside}/",
        f"http://public.test\\@{inside}/",
        f"http://{inside}\\@public.test/",
        f"http://{inside}#@public.test/",
        f"http://{inside}?@public.test/",
        f"http:\\\\{inside}/",
        f"http:/{inside}/",
        f"http:{inside}/",
        f"//{inside}/",
        f" http://{inside}/",
        f"http://{inside}\t/",
        f"\thttp://{inside}/",
        f"http://\u200b{inside}/",
        f"HTTP://{inside}/",
        f"ws://{inside}/",
        f"ftp://{inside}/",
        f"gopher://{inside}/_x",
        f"dict://{inside}/",
        f"file://{inside}/etc/passwd",
        "file:///etc/passwd",
        "data:text/html,hello",
        f"jar:http://{inside}!/",
        f"view-source:http://{inside}/",
        f"http://[::1]:{port}@public.test/",
        f"http://[::ffff:127.0.0.1%25lo]:{port}/",
    ]
    return list(dict.fromkeys(urls))
