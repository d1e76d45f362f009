#!/usr/bin/env python3
"""Bad requests, each refused with its status and the one error object, and nothing behind it is taken for a request:
framing on which readers could disagree, limits, and clients that are slow. Good oddities are answered."""
import socket
import threading
import time

from http_support import Server, answers, ask, read_all
from support import check, finish

HOST = b"Host: a\r\n"
GET = b"GET /hello HTTP/1.1\r\n"
SECOND = b"GET /gauges HTTP/1.1\r\nHost: a\r\n\r\n"  # must not be answered: the connection is over


def post(fields, body=b"", line=b"POST /v1/echo HTTP/1.1\r\n"):
    return line + HOST + fields + b"\r\n" + body


def length(value):
    return post(b"Content-Length: " + value + b"\r\n", b"abc")


def coding(value, body=b"3\r\nabc\r\n0\r\n\r\n"):
    return post(b"Transfer-Encoding: " + value + b"\r\n", body)


def chunks(body):
    return coding(b"chunked", body)


def with_line(line):
    return GET + HOST + line + b"\r\n\r\n"


BAD = []


def bad(name, status, data):
    BAD.append((name, status, data))


# ---- smuggling ----
bad("two lengths that differ", 400, post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"))
bad("two lengths that agree", 400, post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"))
bad("two lengths, other case", 400, post(b"Content-Length: 3\r\ncontent-length: 4\r\n", b"abcd"))
bad("a list of lengths", 400, length(b"3, 3"))
bad("length, then chunked", 400, post(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"))
bad("chunked, then length", 400, post(b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"0\r\n\r\n"))
bad("length 0 and chunked", 400, post(b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"))
for value in (b"+3", b"-3", b"0x3", b"3.0", b"3 3", b"3a", b"a", b"", b"3;", b"\"3\"", b"1e1", b"3\t4", b"0 3", b"\xef\xbc\x93"):
    bad(f"length {value!r}", 400, length(value))
for value in (b"18446744073709551619", b"99999999999999999999999999", b"9223372036854775808", b"9223372036854775807",
              b"4294967299", b"8388609", b"000000000000000000000000000003"):
    bad(f"length {value!r}", 413, length(value))
for value in (b"xchunked", b"gzip", b"identity", b"chunked1", b"CHUNKEDX"):
    bad(f"coding {value!r}", 501, coding(value))
for value in (b"chunked, identity", b"identity, chunked", b"gzip, chunked", b"chunked,chunked", b"chunked,", b",chunked", b"",
              b"\tchunked", b"chunked\t", b"chunked;q=1", b"\"chunked\"", b"chunk ed", b"chunked\xa0", b"\x85chunked"):
    bad(f"coding {value!r}", 400, coding(value))
bad("two codings", 400, post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"))
bad("two codings, one other", 501, post(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"))
bad("chunked under 1.0", 400, post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"POST /v1/echo HTTP/1.0\r\n"))
bad("space before colon", 400, post(b"Content-Length : 3\r\n", b"abc"))
bad("tab before colon", 400, post(b"Content-Length\t: 3\r\n", b"abc"))
bad("space before the coding's colon", 400, post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"))
bad("space before a name", 400, GET + b" " + HOST + b"\r\n")
bad("tab before a name", 400, GET + b"\t" + HOST + b"\r\n")
bad("a folded field", 400, with_line(b"X: a\r\n b"))
bad("a field folded by a tab", 400, with_line(b"X: a\r\n\tb"))
bad("a folded length", 400, post(b"Content-Length:\r\n 3\r\n", b"abc"))
bad("a folded coding", 400, post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"))
bad("a lone CR in a value", 400, with_line(b"X: a\rY: b"))
bad("a lone CR before the end", 400, GET + HOST + b"X: a\r\r\n\r\n")
bad("a lone LF after a field", 400, GET + b"Host: a\n\r\n")
bad("a lone LF after the request line", 400, b"GET /hello HTTP/1.1\nHost: a\r\n\r\n")
bad("only LFs", 400, b"GET /hello HTTP/1.1\nHost: a\n\n")
bad("a lone LF as the empty line", 400, GET + HOST + b"\n")
bad("a lone CR in the request line", 400, b"GET /hello\rX HTTP/1.1\r\n" + HOST + b"\r\n")
bad("CR LF CR", 400, GET + HOST + b"\r\r\n")
for byte in (0, 1, 7, 8, 11, 12, 27, 31, 127):
    bad(f"byte {byte} in a value", 400, with_line(b"X: a" + bytes([byte]) + b"b"))
    bad(f"byte {byte} in a name", 400, with_line(b"X" + bytes([byte]) + b": b"))
    bad(f"byte {byte} in the target", 400, b"GET /hello" + bytes([byte]) + b" HTTP/1.1\r\n" + HOST + b"\r\n")
for byte in b"\"(),/;<=>?@[\\]{} \xe9":
    bad(f"byte {byte} in a name", 400, with_line(b"X" + bytes([byte]) + b"Y: b"))
bad("no name", 400, with_line(b": b"))
bad("no colon", 400, with_line(b"broken"))
bad("only a colon", 400, with_line(b":"))
# ---- chunks ----
for size in (b"0x3", b"+3", b"-3", b" 3", b"3 ", b"\t3", b"g", b"3g", b"", b"3.0", b"\"3\""):
    bad(f"chunk size {size!r}", 400, chunks(size + b"\r\nabc\r\n0\r\n\r\n"))
for size in (b"10000000000000003", b"ffffffffffffffff", b"8000000000000000", b"7fffffffffffffff", b"0000000000000003",
             b"100000003", b"800001"):
    bad(f"chunk size {size!r}", 413, chunks(size + b"\r\nabc\r\n0\r\n\r\n"))
bad("a chunk extension", 400, chunks(b"3;a=b\r\nabc\r\n0\r\n\r\n"))
bad("a chunk extension without a name", 400, chunks(b"3;\r\nabc\r\n0\r\n\r\n"))
bad("a chunk extension after a space", 400, chunks(b"3 ;a\r\nabc\r\n0\r\n\r\n"))
bad("an extension of the last chunk", 400, chunks(b"3\r\nabc\r\n0;a\r\n\r\n"))
bad("a chunk's size ends in LF", 400, chunks(b"3\nabc\r\n0\r\n\r\n"))
bad("a chunk's size ends in CR", 400, chunks(b"3\rabc\r\n0\r\n\r\n"))
bad("a chunk's data ends in LF", 400, chunks(b"3\r\nabc\n0\r\n\r\n"))
bad("a chunk's data is longer", 400, chunks(b"3\r\nabcd\r\n0\r\n\r\n"))
bad("a chunk's data is shorter", 400, chunks(b"4\r\nabc\r\n0\r\n\r\nxx"))
bad("the last chunk ends in LF", 400, chunks(b"3\r\nabc\r\n0\n\n"))
bad("the body ends in LF", 400, chunks(b"3\r\nabc\r\n0\r\n\n"))
bad("a trailer that is no field", 400, chunks(b"3\r\nabc\r\n0\r\nbroken\r\n\r\n"))
bad("a trailer with a space before the colon", 400, chunks(b"3\r\nabc\r\n0\r\nX : y\r\n\r\n"))
bad("a trailer with a NUL", 400, chunks(b"3\r\nabc\r\n0\r\nX: \0\r\n\r\n"))
bad("a folded trailer", 400, chunks(b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n"))
bad("a length as trailer", 400, chunks(b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n"))
bad("a coding as trailer", 400, chunks(b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"))
bad("a Host as trailer", 400, chunks(b"3\r\nabc\r\n0\r\nHost: b\r\n\r\n"))
bad("101 trailer fields", 431, chunks(b"0\r\n" + b"".join(b"X%d: 1\r\n" % i for i in range(101)) + b"\r\n"))
bad("trailers beyond 16 KiB", 431, chunks(b"0\r\n" + b"".join(b"X%d: %s\r\n" % (i, b"a" * 1000) for i in range(17)) + b"\r\n"))
bad("many chunks beyond the limit", 413, chunks((b"100000\r\n" + b"x" * (1 << 20) + b"\r\n") * 9))
# ---- the request line ----
for line, status in ((b"GET /hello", 400), (b"GET", 400), (b"", 400), (b"GET  /hello HTTP/1.1", 400), (b"GET /hello  HTTP/1.1", 400),
                     (b" GET /hello HTTP/1.1", 400), (b"GET /hello HTTP/1.1 ", 400), (b"GET /hello HTTP/1.1 x", 400),
                     (b"GET\t/hello\tHTTP/1.1", 400), (b"get /hello HTTP/1.1", 400), (b"Get /hello HTTP/1.1", 400),
                     (b"G=T /hello HTTP/1.1", 400), (b"FOO /hello HTTP/1.1", 400), (b"GETT /hello HTTP/1.1", 400),
                     (b"GE /hello HTTP/1.1", 400), (b"PRI * HTTP/2.0", 505), (b"GET /hello HTTP/2.0", 505), (b"GET /hello HTTP/1.2", 505),
                     (b"GET /hello HTTP/0.9", 505), (b"GET /hello HTTP/9.9", 505), (b"GET /hello http/1.1", 400),
                     (b"GET /hello HTTP/1.10", 400), (b"GET /hello HTTP/11", 400), (b"GET /hello HTTP/1,1", 400),
                     (b"GET /hello HTTP/+1.1", 400), (b"GET /hello HTTPS/1.1", 400), (b"GET /hello RTSP/1.0", 400),
                     (b"GET hello HTTP/1.1", 400), (b"GET \\hello HTTP/1.1", 400), (b"GET * HTTP/1.1", 400),
                     (b"GET ?a HTTP/1.1", 400), (b"GET ftp://a/hello HTTP/1.1", 400), (b"GET //hello HTTP/1.1", 404),
                     (b"GET http://b/hello HTTP/1.1", 400), (b"GET http:///hello HTTP/1.1", 400), (b"GET http:/hello HTTP/1.1", 400),
                     (b"GET http://x@a/hello HTTP/1.1", 400), (b"CONNECT a:80 HTTP/1.1", 400), (b"GET a:80 HTTP/1.1", 400),
                     (b"GET /hello#x HTTP/1.1", 400), (b"GET /h%zz HTTP/1.1", 400), (b"GET /h%4 HTTP/1.1", 400), (b"GET /h% HTTP/1.1", 400),
                     (b"GET /h%00 HTTP/1.1", 400), (b"GET /h%0d%0aX: HTTP/1.1", 400), (b"GET /h%7f HTTP/1.1", 400),
                     (b"GET /h\xc3\xa4 HTTP/1.1", 400), (b"GET /<a> HTTP/1.1", 400), (b"GET /\"a\" HTTP/1.1", 400),
                     (b"GET /" + b"a" * 8200 + b" HTTP/1.1", 414), (b"A" * 9000, 414), (b"GET /?" + b"a" * 9000 + b" HTTP/1.1", 414)):
    bad(f"request line {line[:50]!r}", status, line + b"\r\n" + HOST + b"Connection: close\r\n\r\n")
bad("two empty lines first", 400, b"\r\n\r\n" + GET + HOST + b"\r\n")
bad("a TLS greeting", 400, bytes.fromhex("16030100a5010000a10303") + b"\0" * 150)
bad("an SSH greeting", 400, b"SSH-2.0-x\r\n\r\n")
bad("an answer", 400, b"HTTP/1.1 200 OK\r\n" + HOST + b"\r\n")
# ---- fields ----
bad("no Host", 400, GET + b"\r\n")
bad("no Host, other fields", 400, GET + b"X: y\r\n\r\n")
bad("two Hosts", 400, GET + HOST + HOST + b"\r\n")
bad("two Hosts that differ", 400, GET + HOST + b"host: b\r\n\r\n")
bad("two Hosts under 1.0", 400, b"GET /hello HTTP/1.0\r\n" + HOST + HOST + b"\r\n")
for value in (b"a b", b"a,b", b"a/b", b"a?b", b"a@b", b"a\\b", b"<a>", b"a\tb", b"\xc3\xa4"):
    bad(f"Host {value!r}", 400, GET + b"Host: " + value + b"\r\n\r\n")
bad("101 fields", 431, GET + HOST + b"".join(b"X%d: 1\r\n" % i for i in range(100)) + b"\r\n")
bad("1000 empty fields", 431, GET + HOST + b"X:\r\n" * 1000 + b"\r\n")
bad("a field beyond 16 KiB", 431, with_line(b"X: " + b"a" * 20000))
bad("a name beyond 16 KiB", 431, with_line(b"X" * 20000 + b": a"))
bad("fields beyond 16 KiB", 431, GET + HOST + b"".join(b"X%d: %s\r\n" % (i, b"a" * 500) for i in range(40)) + b"\r\n")
bad("unknown expectation", 417, post(b"Content-Length: 3\r\nExpect: 200-ok\r\n", b"abc"))
bad("compressed body", 415, post(b"Content-Length: 3\r\nContent-Encoding: gzip\r\n", b"abc"))
# ---- meaning ----
bad("unknown path", 404, b"GET /nope HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
bad("unknown path in other case", 404, b"GET /HELLO HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
bad("dots in the path", 404, b"GET /v1/../hello HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
bad("method that the path has not", 405, b"DELETE /hello HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
bad("GET for POST", 405, b"GET /v1/echo HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
bad("POST for GET, with a body", 405, b"POST /hello HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc")
bad("OPTIONS without Origin", 405, b"OPTIONS /v1/echo HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")

GOOD = [
    ("absolute target", b"GET http://a/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", [200], b"hello\n"),
    ("1.0 without Host", b"GET /hello HTTP/1.0\r\n\r\n", [200], b"hello\n"),
    ("1.0 keep-alive closes", b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [200], b"hello\n"),
    ("two pipelined", GET + HOST + b"\r\n" + GET + HOST + b"Connection: close\r\n\r\n", [200, 200], b"hello\n"),
    ("one empty line first", b"\r\n" + GET + HOST + b"Connection: close\r\n\r\n", [200], b"hello\n"),
    ("an empty line between two", GET + HOST + b"\r\n\r\n" + GET + HOST + b"Connection: close\r\n\r\n", [200, 200], b"hello\n"),
    ("expect 100, body sent anyway", post(b"Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n", b"abc"), [200], b"abc"),
    ("a trailer", post(b"Transfer-Encoding: chunked\r\nConnection: close\r\n", b"3\r\nabc\r\n0\r\nX: y\r\n\r\n"), [200], b"abc"),
    ("many small chunks", post(b"Transfer-Encoding: chunked\r\nConnection: close\r\n", b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"), [200], b"x" * 5000),
    ("chunk sizes in both cases", post(b"transfer-encoding:CHUNKED\r\nconnection: Close\r\n",
                                       b"0A\r\n0123456789\r\n00b\r\n0123456789a\r\n00\r\n\r\n"), [200], b"01234567890123456789a"),
    ("no body", post(b"Connection: close\r\n"), [200], b""),
    ("length with zeros in front", post(b"Content-Length: 003\r\nConnection: close\r\n", b"abc"), [200], b"abc"),
    ("blanks around a value", post(b"Content-Length:   3  \r\nConnection: close\r\n", b"abc"), [200], b"abc"),
    ("a body of zeros", post(b"Content-Length: 3\r\nConnection: close\r\n", b"\0\0\0"), [200], b"\0\0\0"),
    ("the largest body", post(b"Content-Length: 8388608\r\nConnection: close\r\n", b"y" * 8388608), [200], b"y" * 8388608),
    ("100 fields", GET + HOST + b"".join(b"X%d: 1\r\n" % i for i in range(98)) + b"Connection: close\r\n\r\n", [200], b"hello\n"),
    ("an encoded path", b"GET /%68ell%6F HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", [200], b"hello\n"),
    ("UTF-8 in a value", GET + HOST + b"X: \xc3\xa4\r\nConnection: close\r\n\r\n", [200], b"hello\n"),
    ("a wish for another protocol", GET + HOST + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n", [200], b"hello\n"),
    ("an upgrade with a body", post(b"Upgrade: websocket\r\nConnection: upgrade, close\r\nContent-Length: 3\r\n", b"abc"), [200], b"abc"),
    ("a query", b"GET /hello?a=%00&b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", [200], b"hello\n"),
]


def in_pieces(server, data, pieces):
    """The same bytes, cut at every place in turn would be too slow; cut into single bytes instead."""
    with server.connect() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for i in range(0, len(data), pieces):
                s.send(data[i:i + pieces])
                time.sleep(0.0005)
        except OSError:
            pass
        return answers(read_all(s))


def probe(server, name, status, data):
    got = ask(server, data + SECOND)
    seen = [a.status for a in got]
    if not check(seen == [status], f"{name}: expected [{status}], got {seen}"):
        return
    check(got[0].error() is not None, f"{name}: no error object: {got[0].body[:200]!r}")
    check(status in (404, 405) or got[0].fields.get("connection") == "close", f"{name}: the connection is not said to close")


def slow(server, name, status, pieces, most):
    """Sends a piece every 0.1 s; the server must have closed after `most` seconds."""
    begun, data, closed = time.monotonic(), b"", False
    with server.connect(0.1) as s:
        while time.monotonic() - begun < most + 3 and not closed:
            try:
                if pieces:
                    s.send(pieces.pop(0))
                piece = s.recv(65536)
                closed = not piece
                data += piece
            except TimeoutError:
                pass
            except OSError:
                closed = True
    took = time.monotonic() - begun
    check(closed and took < most, f"{name}: closed: {closed} after {took:.1f} s, expected within {most} s")
    seen = [a.status for a in answers(data)]
    check(seen == status, f"{name}: expected {status}, got {seen}")


def slow_probes(server):
    drip = [b"X%d: 1\r\n" % i for i in range(200)]
    probes = [
        ("silence", [], [], 2.5),
        ("half a request line", [408], [b"GET /he"], 2.5),
        ("half a header", [408], [GET + b"Ho"], 2.5),
        ("header drip", [408], [GET, *drip], 2.5),
        ("header drip by bytes", [408], [bytes([b]) for b in GET + HOST + b"X: " + b"a" * 200], 2.5),
        ("no body", [408], [post(b"Content-Length: 100\r\n")], 3.5),
        ("body drip", [408], [post(b"Content-Length: 1000\r\n"), *[b"a"] * 200], 3.5),
        ("chunk drip", [408], [chunks(b""), *[b"1\r\na\r\n"] * 200], 3.5),
        ("trailer drip", [408], [chunks(b"0\r\n"), *drip], 3.5),
        ("silence after an answer", [200], [GET + HOST + b"\r\n"], 3.5),
        ("drip after an answer", [200, 408], [GET + HOST + b"\r\n", GET, *drip], 3.5),
        ("100-continue, then nothing", [100, 408], [post(b"Content-Length: 9\r\nExpect: 100-continue\r\n")], 3.5),
    ]
    threads = [threading.Thread(target=slow, args=(server, *p)) for p in probes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(probes)


with Server("--header-timeout", "1", "--body-timeout", "2", "--idle-timeout", "2") as server:
    for case in BAD:
        probe(server, *case)
    for name, status, data in BAD:
        if len(data) < 400:
            seen = [a.status for a in in_pieces(server, data + SECOND, 7)]
            check(seen == [status], f"{name}, in pieces: expected [{status}], got {seen}")
    for name, data, statuses, body in GOOD:
        got = [a for a in ask(server, data) if a.status != 100]
        check([a.status for a in got] == statuses, f"{name}: expected {statuses}, got {[a.status for a in got]}")
        check(bool(got) and got[-1].body == body, f"{name}: wrong body {got[-1].body[:60] if got else None!r}")
        if len(data) < 1000:
            got = [a for a in in_pieces(server, data, 1) if a.status != 100]
            check([a.status for a in got] == statuses and got[-1].body == body, f"{name}, byte by byte: {[a.status for a in got]}")
    n_slow = slow_probes(server)
    check(ask(server, GET + HOST + b"Connection: close\r\n\r\n")[0].status == 200, "the server answers afterwards")
    status, out, err = server.close()
    check(status == 0 and not err, f"the server's end: {status} {err}")
finish(f"{len(BAD)} bad, {len(GOOD)} good and {n_slow} slow requests")
