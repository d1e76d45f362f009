#!/usr/bin/env python3
"""Renders random templates with Jinja2 as Transformers sets it up and with `colrow template`: equal text or an error on
both sides. Prints how many are equal, refused by colrow with its reason, and silently different, which must be none.

usage: differential_templates.py COLROW [-n 3000] [--seed 1] [--templates FOLDER] [--write VECTORS.json]

Needs Transformers 5.24 and Jinja2 3.1.6 (the reference). --write keeps the cases and Jinja2's answers for
tests/unit/test_jinja_vectors.c.
"""
import argparse
import collections
import datetime
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile

import transformers.utils.chat_template_utils as ctu


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 11, 21, 10, 9, 0)


ctu.datetime = Clock
NOW = "2026-11-21T10:09:00"

TEXTS = ["", " ", "a", "Hello World", "  two  spaces ", "foo bar baz qux", "straße ﬁn ǅ", "ΑΣ Σ ΌΣΟΣ.", "línea\nzwei\r\ndrei\x0bvier",
         "<b>&\"'</b>", "a,b,,c", "42", "-7", " 3.5 ", "1e3", "0x1F", "1_000", "日本語テキスト", "🎉é\u00a0\u2028x", "It's", "tab\there",
         "MiXeD cAsE-words (and) [more]", "%s and %d", "{} {0}", "line one\n\n  line three\n", "x" * 90, "well-known e-mail re-enter--dash",
         "٣٤", "²½", "a\\nb", "true", "None", "http://x.org/a?b=c&d", "ab" * 7, "İI ı", "ß", "\x1f \x85 z", "user", "assistant", "role", "q\"q'q"]
NUMBERS = [0, 1, 2, 3, -1, -2, 5, 7, 10, 100, -13, 255, 1000000, 2 ** 40, -(2 ** 31), 4503599627370497, 0.5, 1.5, 2.5, -0.5, 0.1, 1e16, 1e-5, 123456.789, -0.0, 3.0,
           1e100, 2.675, 1e15, 12345678901234567.0]


def variables(rnd):
    def message():
        m = {"role": rnd.choice(["system", "user", "assistant", "tool"]), "content": rnd.choice(TEXTS)}
        if rnd.random() < .2:
            m["content"] = [{"type": "text", "text": rnd.choice(TEXTS)} for _ in range(rnd.randint(0, 3))]
        if rnd.random() < .15:
            m["content"] = None
        if rnd.random() < .2:
            m["tool_calls"] = [{"id": "c1", "function": {"name": "f", "arguments": {"x": rnd.choice(NUMBERS), "y": [1, None, True]}}}]
        if rnd.random() < .2:
            m["n"] = rnd.choice(NUMBERS)
        return m
    return {"messages": [message() for _ in range(rnd.randint(0, 4))], "s": rnd.choice(TEXTS), "t": rnd.choice(TEXTS), "u": rnd.choice(TEXTS),
            "i": rnd.choice([n for n in NUMBERS if isinstance(n, int)]), "j": rnd.randint(-3, 6), "x": rnd.choice(NUMBERS),
            "b": rnd.random() < .5, "none_": None, "words": [rnd.choice(TEXTS) for _ in range(rnd.randint(0, 5))],
            "nums": [rnd.choice(NUMBERS) for _ in range(rnd.randint(0, 5))], "mixed": [1, "a", None, 2.5, [1, 2], {"k": "v"}, True],
            "d": {rnd.choice(["a", "b", "role", "items", "Z", "é", "1"]): rnd.choice(TEXTS + NUMBERS + [None, [1, "x"], {"p": 1}])
                  for _ in range(rnd.randint(0, 4))},
            "users": [{"name": rnd.choice(["Ann", "bob", "Cid", "ann"]), "age": rnd.randint(1, 4), "tags": ["t%d" % k for k in range(rnd.randint(0, 2))],
                       **({"x": {"y": rnd.randint(0, 2)}} if rnd.random() < .6 else {})} for _ in range(rnd.randint(0, 4))],
            "tree": [{"v": 1, "c": [{"v": 2, "c": [{"v": 3}]}, {"v": 4, "c": []}]}, {"v": 5}], "bos_token": "<s>", "tools": None}


class Grammar:
    """Expressions by the kind of value that they should have; now and then of another kind."""

    def __init__(self, rnd):
        self.rnd, self.locals, self.macros, self.loops = rnd, [], [], 0

    def pick(self, *options):
        return self.rnd.choice(options)

    def string(self, text):
        q = self.rnd.choice("'\"")
        out = text.replace("\\", "\\\\").replace(q, "\\" + q)
        return q + out.replace("\n", "\\n").replace("\r", "\\r") + q

    def expr(self, kind, depth):
        if self.rnd.random() < .04:
            kind = self.pick("text", "int", "num", "list", "dict", "bool", "any")
        if depth <= 0:
            return self.leaf(kind)
        return getattr(self, "x_" + kind)(depth - 1)

    def leaf(self, kind):
        r = self.rnd
        if self.locals and r.random() < .15:
            return r.choice(self.locals)
        if kind == "text":
            return self.pick("s", "t", "u", self.string(r.choice(TEXTS)), self.string(r.choice(TEXTS)))
        if kind == "int":
            return self.pick("i", "j", str(r.randint(-3, 9)), str(r.choice([0, 1, 2, 3, 10])))
        if kind == "num":
            return self.pick("x", "i", "j", repr(r.choice([n for n in NUMBERS if n >= 0])))
        if kind == "list":
            return self.pick("words", "nums", "mixed", "users", "messages", "[1, 2, 3]", "['b', 'A', 'c']", "(1, 2)", "[]", "range(4)", "range(5, 0, -2)")
        if kind == "dict":
            return self.pick("d", "{'a': 1, 'b': [2]}", "{}", "{1: 'x', 'k': none, 2.5: true}", "users[0]", "messages[0]")
        if kind == "bool":
            return self.pick("b", "true", "false", "none", "missing", "missing is defined")
        return self.pick("none", "missing", "none_", "s", "i", "x", "d", "words", "users[0].missing", "tree")

    def x_any(self, d):
        return self.expr(self.pick("text", "int", "num", "list", "dict", "bool"), d)

    def x_text(self, d):
        e = lambda k: self.expr(k, d)
        r = self.rnd
        filters = ["upper", "lower", "title", "capitalize", "trim", "string", "escape", "e", "forceescape", "safe", "reverse", "striptags", "urlencode",
                   f"trim({self.string(r.choice(['ab ', 'x', '<>', '']))})", f"replace({e('text')}, {e('text')})", f"replace({e('text')}, {e('text')}, {e('int')})",
                   f"center({r.randint(0, 30)})", f"indent({r.randint(0, 4)})", f"indent({r.randint(0, 4)}, {self.pick('true', 'false')}, blank={self.pick('true', 'false')})",
                   "indent('> ', first=true)", f"truncate({r.randint(3, 20)})", f"truncate({r.randint(3, 20)}, {self.pick('true', 'false')}, leeway={r.randint(0, 3)})",
                   f"truncate({r.randint(3, 9)}, end='…')", f"wordwrap({r.randint(1, 20)})", f"wordwrap({r.randint(3, 20)}, {self.pick('true', 'false')}, wrapstring='|', break_on_hyphens={self.pick('true', 'false')})",
                   f"default({e('text')})", f"default({e('text')}, true)", f"d({e('text')}, boolean=true)", "join", f"join({e('text')})", "first", "last", f"format({e('any')})",
                   "attr('upper')", "list", "unique | join"]
        methods = ["upper()", "lower()", "title()", "capitalize()", "casefold()", "swapcase()", "strip()", "lstrip()", "rstrip()", f"strip({e('text')})", f"lstrip({e('text')})",
                   f"rstrip({e('text')})", f"replace({e('text')}, {e('text')})", f"replace({e('text')}, {e('text')}, {e('int')})", f"removeprefix({e('text')})", f"removesuffix({e('text')})",
                   f"ljust({r.randint(0, 12)}, '.')", f"rjust({r.randint(0, 12)})", f"center({r.randint(0, 12)}, '*')", f"zfill({r.randint(0, 9)})", f"expandtabs({r.randint(0, 9)})",
                   f"join({e('list')})", f"split({e('text')})[0]", "split()[-1]", f"partition({e('text')})[{r.randint(0, 2)}]", f"rpartition({e('text')})[2]",
                   f"format({e('any')}, {e('any')})", "encode"]
        specs = ["", ":>10", ":^9", ":<6", ":*^12", ":.3", ":5.1f", ":d", ":05d", ":x", ":#x", ":,", ":_", ":e", ":.2e", ":g", ":%", ":+", "!r", "!s", "!a", "!r:>12", ":.0f", ":b", ":#o", ":c", ":10,.2f", ":G", ":08.3f", ":=+8", ":.4g"]
        percents = ["%s", "%r", "%d", "%5d", "%-5d|", "%05d", "%+d", "%x", "%X", "%#x", "%o", "%f", "%.2f", "%8.3f", "%e", "%g", "%.3g", "%c", "%%", "%5s|", "%-5s|", "%.2s", "%i", "%a", "% d", "%G", "%10.4e"]
        return self.pick(
            lambda: f"{e('text')} + {e('text')}", lambda: f"{e('any')} ~ {e('any')}", lambda: f"({e('text')}) | {r.choice(filters)}", lambda: f"({e('text')}) | {r.choice(filters)}",
            lambda: f"({e('list')}) | {self.pick('join', 'join(chr)', 'join(d=sep)').replace('chr', self.string('-')).replace('sep', e('text'))}",
            lambda: f"({e('text')}).{r.choice(methods)}", lambda: f"({e('text')}).{r.choice(methods)}", lambda: f"({e('any')}) | string", lambda: f"({e('any')}) | tojson",
            lambda: f"({e('any')}) | tojson({self.pick('indent=2', 'ensure_ascii=true', 'sort_keys=true', chr(115) + 'eparators=(chr(44), chr(58))', 'indent=0', 'indent=none')})".replace("chr(44)", "','").replace("chr(58)", "':'"),
            lambda: f"({e('text')})[{e('int')}]", lambda: f"({e('text')})[{self.slice()}]", lambda: f"({e('text')}) * {r.randint(-1, 3)}",
            lambda: f"{e('text')} if {e('bool')} else {e('text')}", lambda: f"{self.string('<' + r.choice(percents) + '>')} % ({e('any')},)",
            lambda: f"{self.string(r.choice(percents) + ' ' + r.choice(percents))} % ({e('num')}, {e('any')})", lambda: f"{self.string('%(a)s-%(b)s')} % {e('dict')}",
            lambda: f"{self.string('{' + r.choice(specs) + '}')}.format({e('num')})", lambda: f"{self.string('[{' + r.choice(specs) + '}]')}.format({e('any')})",
            lambda: f"{self.string('{0}{1!r}{a}')}.format({e('any')}, {e('any')}, a={e('any')})", lambda: f"({e('num')}) | filesizeformat{self.pick('', '(true)')}",
            lambda: f"({e('dict')}) | xmlattr", lambda: f"({e('dict')}).get({e('text')})", lambda: f"{r.choice(self.macros)}({e('any')})" if self.macros else e("text"))()

    def slice(self):
        parts = [self.pick("", str(self.rnd.randint(-4, 6))) for _ in range(self.pick(2, 2, 3))]
        if len(parts) == 3 and parts[2] == "0":
            parts[2] = "2"
        return ":".join(parts)

    def x_int(self, d):
        e = lambda k: self.expr(k, d)
        return self.pick(
            lambda: f"{e('int')} {self.pick('+', '-', '*', '//', '%')} {e('int')}", lambda: f"({e('any')}) | length", lambda: f"({e('text')}) | int", lambda: f"({e('num')}) | int",
            lambda: f"({e('text')}) | int({e('int')}, {self.pick('2', '8', '16', '10', '0')})", lambda: f"({e('text')}) | wordcount", lambda: f"-{e('int')}", lambda: f"({e('int')}) ** {self.rnd.randint(0, 3)}",
            lambda: f"({e('text')}).{self.pick('find', 'count', 'rfind', 'index')}({e('text')})", lambda: f"({e('list')}) | count", lambda: f"({e('int')}) | abs", lambda: f"({e('list')}) | sum",
            lambda: f"({e('list')})[{e('int')}]", lambda: f"users | sum(attribute='age')", lambda: f"({e('list')}).index({e('any')})")()

    def x_num(self, d):
        e = lambda k: self.expr(k, d)
        return self.pick(
            lambda: f"{e('num')} {self.pick('+', '-', '*', '/', '//', '%')} {e('num')}", lambda: f"({e('num')}) | round", lambda: f"({e('num')}) | round({self.rnd.randint(-2, 4)}{self.pick('', ', chr', ', flr')})".replace("chr", "'ceil'").replace("flr", "'floor'"),
            lambda: f"({e('text')}) | float", lambda: f"({e('num')}) | float", lambda: f"({e('num')}) | abs", lambda: f"-{e('num')}", lambda: f"({e('list')}) | {self.pick('max', 'min')}", lambda: f"({e('num')}) ** {self.pick('2', '0.5', '-1')}")()

    def x_list(self, d):
        e = lambda k: self.expr(k, d)
        attr = lambda: self.string(self.pick("name", "age", "x.y", "role", "content", "tags.0", "missing"))
        test = lambda: self.pick("'string'", "'odd'", "'number'", "'defined'", "'none'", f"'equalto', {e('any')}", f"'in', {e('list')}", f"'>', {e('int')}", "'mapping'", "'lower'", "'divisibleby', 2")
        return self.pick(
            lambda: f"[{', '.join(e('any') for _ in range(self.rnd.randint(0, 3)))}]", lambda: f"({e('list')}) + ({e('list')})", lambda: f"({e('list')})[{self.slice()}]", lambda: f"({e('list')}) | list",
            lambda: f"({e('list')}) | sort{self.pick('', '(reverse=true)', '(case_sensitive=true)')}", lambda: f"users | sort(attribute={self.pick(chr(39) + 'age' + chr(39), chr(39) + 'name,age' + chr(39))}, reverse={self.pick('true', 'false')})",
            lambda: f"({e('list')}) | map({self.pick(chr(39) + 'upper' + chr(39), chr(39) + 'string' + chr(39), chr(39) + 'length' + chr(39), chr(39) + 'int' + chr(39))}) | list", lambda: f"users | map(attribute={attr()}{self.pick('', ', default=0')}) | list",
            lambda: f"({e('list')}) | {self.pick('select', 'reject')}({test()}) | list", lambda: f"{self.pick('users', 'messages')} | {self.pick('selectattr', 'rejectattr')}({attr()}{self.pick('', ', ' + test())}) | list",
            lambda: f"({e('list')}) | batch({self.rnd.randint(1, 3)}{self.pick('', ', 0')}) | list", lambda: f"({e('list')}) | slice({self.rnd.randint(1, 3)}{self.pick('', ', none', ', 9')}) | list", lambda: f"({e('list')}) | unique | list",
            lambda: f"({e('list')}) | reverse | list", lambda: f"({e('dict')}) | dictsort{self.pick('', '(true)', '(by=' + chr(39) + 'value' + chr(39) + ')', '(reverse=true)')}", lambda: f"({e('dict')}).{self.pick('items', 'keys', 'values')}()",
            lambda: f"({e('dict')}) | items | list", lambda: f"users | groupby({attr()}{self.pick('', ', default=1', ', case_sensitive=true')})", lambda: f"({e('text')}).{self.pick('split', 'rsplit')}({self.pick('', e('text'), 'none, 1', e('text') + ', 1', 'maxsplit=1')})",
            lambda: f"({e('text')}).splitlines({self.pick('', 'true')})", lambda: f"({e('text')}) | list", lambda: f"({e('list')}) * {self.rnd.randint(0, 2)}", lambda: f"({e('text')}).partition({e('text')})", lambda: f"{e('dict')} | list")()

    def x_dict(self, d):
        e = lambda k: self.expr(k, d)
        return self.pick(lambda: f"{{{self.string(self.pick('a', 'b', 'c'))}: {e('any')}, {e('int')}: {e('any')}}}", lambda: f"dict(a={e('any')}, b={e('any')})", lambda: f"dict({e('dict')}, z=1)", lambda: f"({e('list')})[0]", lambda: e("dict"))()

    def x_bool(self, d):
        e = lambda k: self.expr(k, d)
        tests = ["defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "sequence", "iterable", "boolean", "true", "false", "odd", "even", "lower", "upper", "callable", "escaped",
                 f"divisibleby({e('int')})", f"equalto({e('any')})", f"in {e('list')}", f"sameas({self.pick('none', 'true', 'false')})", f"eq({e('any')})", f"gt {e('int')}", f"lessthan({e('num')})", "filter", "test"]
        return self.pick(
            lambda: f"{e('any')} {self.pick('==', '!=')} {e('any')}", lambda: f"{e('num')} {self.pick('<', '<=', '>', '>=')} {e('num')}", lambda: f"{e('text')} {self.pick('<', '>=')} {e('text')}", lambda: f"not {e('bool')}",
            lambda: f"{e('any')} {self.pick('and', 'or')} {e('any')}", lambda: f"{e('any')} {self.pick('in', 'not in')} {e('list')}", lambda: f"{e('text')} in {e('text')}", lambda: f"({e('any')}) is {self.pick('', 'not ')}{self.rnd.choice(tests)}",
            lambda: f"{e('int')} < {e('int')} <= {e('int')}", lambda: f"({e('text')}).{self.pick('startswith', 'endswith')}({self.pick(e('text'), '(' + e('text') + ', ' + e('text') + ')')})",
            lambda: f"({e('text')}).{self.pick('isalpha', 'isdigit', 'isalnum', 'isspace', 'islower', 'isupper', 'istitle', 'isnumeric', 'isdecimal', 'isidentifier', 'isprintable', 'isascii')}()", lambda: f"{e('list')} == {e('list')}", lambda: f"{e('list')} < {e('list')}")()

    # ---- statements ----

    def tag(self, inside):
        return self.pick("{% ", "{%- ", "{% ", "{%+ ") + inside + self.pick(" %}", " -%}", " %}", " +%}")

    def block(self, depth):
        return "".join(self.statement(depth) for _ in range(self.rnd.randint(1, 3)))

    def out(self, depth):
        return self.pick("{{ ", "{{- ") + self.expr(self.pick("any", "text", "text", "bool", "list"), self.rnd.randint(0, 3)) + self.pick(" }}", " -}}")

    def data(self):
        return self.pick("\n", "  \n", "  ", "text", "\n\n  ", " . ", "é\n", "", "{ % }", "#}")

    def name(self):
        return self.pick("v", "w", "k", "s", "loop_", "item")

    def statement(self, depth):
        if depth <= 0 or self.rnd.random() < .35:
            return self.data() + self.out(depth) + self.data()
        return getattr(self, "s_" + self.pick("if", "for", "for", "set", "set", "setblock", "macro", "call", "filter", "with", "raw", "comment", "namespace", "recursive", "generation", "block", "loopvars", "unpack"))(depth - 1)

    def s_if(self, d):
        out = self.tag("if " + self.expr(self.pick("bool", "any"), 2)) + self.block(d)
        if self.rnd.random() < .4:
            out += self.tag("elif " + self.expr("bool", 1)) + self.block(d)
        if self.rnd.random() < .5:
            out += self.tag("else") + self.block(d)
        return out + self.tag("endif")

    def s_for(self, d):
        name, saved = self.name(), list(self.locals)
        head = f"for {name} in {self.expr('list', 1)}"
        if self.rnd.random() < .3:
            head += f" if {self.pick(name, name + ' is string', name + ' is number and ' + name + ' > 1', 'b')}"
        self.locals.append(name)
        self.loops += 1
        body = self.block(d)
        if self.rnd.random() < .4:
            body += "{{ loop." + self.pick("index", "index0", "first", "last", "length", "revindex", "revindex0", "depth", "previtem", "nextitem", "cycle('a', 'b')", f"changed({name})") + " }}"
        if self.rnd.random() < .2:
            body += self.tag(f"if {self.pick('loop.index > 1', name + ' is string', 'b')}") + self.tag(self.pick("break", "continue")) + self.tag("endif") + self.out(0)
        self.loops -= 1
        self.locals = saved
        if self.rnd.random() < .25:
            body += self.tag("else") + self.block(d)
        return self.tag(head) + body + self.tag("endfor")

    def s_set(self, d):
        name = self.name()
        out = self.tag(f"set {name} = {self.expr('any', 2)}")
        self.locals.append(name)
        return out

    def s_setblock(self, d):
        name = self.name()
        out = self.tag(f"set {name}{self.pick('', ' | upper', ' | trim | length')}") + self.block(d) + self.tag("endset")
        self.locals.append(name)
        return out

    def s_macro(self, d):
        name, saved = self.pick("m1", "m2"), self.locals
        self.locals = ["p", "q"]
        body = self.block(d) + self.pick("", "{{ varargs }}", "{{ kwargs }}", "{% if caller %}{{ caller() }}{% endif %}", "{{ s }}{% set s = 1 %}")
        self.locals = saved
        self.macros.append(name)
        return self.tag(f"macro {name}(p, q={self.expr('any', 1)})") + body + self.tag("endmacro") + "{{ " + name + "(" + self.pick("", "1", "s, t", "q=2", "1, 2, 3", "p=1, z=2") + ") }}"

    def s_call(self, d):
        return "{% macro c1() %}<{{ caller(" + self.pick("", "1") + ") }}>{% endmacro %}{% call" + self.pick("", "(v)", "(v=s)") + " c1() %}" + self.block(d) + "{{ v }}{% endcall %}"

    def s_filter(self, d):
        return self.tag("filter " + self.pick("upper", "trim", "replace('a', 'b') | title", "indent(2)", "length")) + self.block(d) + self.tag("endfilter")

    def s_with(self, d):
        return self.tag(f"with {self.name()} = {self.expr('any', 1)}, w = {self.name()}") + self.block(d) + self.tag("endwith")

    def s_raw(self, d):
        return self.tag("raw").replace("+%}", "%}") + self.pick("{{ x }}", "{% if %}", " \n ", "{# #}") + self.tag("endraw")

    def s_comment(self, d):
        return self.pick("{# c #}", "{#- c -#}", "{# {{ x }} #}", "{#+ c +#}\n", "  {# c #}\n")

    def s_namespace(self, d):
        return "{% set ns = namespace(" + self.pick("n=0", "{'n': 1}", "n=[]") + ") %}{% for v in " + self.expr("list", 1) + " %}{% set ns.n = " + self.pick("loop.index", "v", "[ns.n, v]", "ns.n ~ v") + " %}{% endfor %}{{ ns.n }}" + self.pick("", "{{ ns.other }}", "{{ ns }}")

    def s_recursive(self, d):
        return "{% for v in tree recursive %}{{ loop.depth }}{{ v.v }}{% if v.c %}({{ loop(v.c) }}){% endif %}" + self.pick("", "{{ loop.index }}/{{ loop.length }}", self.out(1)) + "{% else %}none{% endfor %}"

    def s_generation(self, d):
        return self.tag("generation") + self.block(d) + self.tag("endgeneration")

    def s_block(self, d):
        return "{% block b" + str(self.rnd.randint(0, 10 ** 9)) + " %}" + self.block(d) + "{% endblock %}"

    def s_loopvars(self, d):
        return "{% for v in words %}{% set k = k ~ v if k is defined else v %}{% if loop.first %}{% set s = 'in' %}{% endif %}{{ k }}{{ s }}{% endfor %}{{ k }}{{ s }}"

    def s_unpack(self, d):
        return "{% for k, v in " + self.pick("d.items()", "d | dictsort", "d | items", "users | groupby('age')", "[(1, 2), [3, 4], 'ab']", "words") + " %}{{ k }}={{ v }};{% endfor %}{% set v, w = " + self.pick("(1, 2)", "'ab'", "[1, 2, 3]", "words") + " %}{{ v }}{{ w }}"


class TooLong(Exception):
    pass


def reference(source, values):
    def stop(*_):
        raise TooLong()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(5)
    try:
        text = ctu._cached_compile_jinja_template(source).render(**values)
        text.encode()
        return text, None
    except TooLong:
        return None, "too long"
    except Exception as e:
        return None, f"{type(e).__name__}: {e}"
    finally:
        signal.alarm(0)


def colrow(program, folder, source, values):
    path = os.path.join(folder, "t.jinja")
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(source)
    r = subprocess.run([program, "template", path, "--now", NOW], input=json.dumps(values, ensure_ascii=False).encode(), capture_output=True, timeout=60)
    if r.returncode == 0:
        return r.stdout.decode(), None
    said = r.stderr.decode().strip().replace(path + ": ", "")
    return None, said if r.returncode == 1 and "\n" not in said else f"CRASH {r.returncode}: {said}"


ADDRESS = re.compile(r" at 0x[0-9a-f]+>")
REFUSED = ["not supported", "cannot be written as text", "more than 64 bits", "nested deeper", "more than"]


def generated(seed, n):
    for k in range(n):
        rnd = random.Random(f"{seed}-{k}")
        g = Grammar(rnd)
        yield f"{seed}-{k}", g.block(rnd.randint(1, 3)) if k % 2 else "".join(g.data() + g.out(2) for _ in range(rnd.randint(1, 2))), variables(rnd)


def real(folder, rounds):
    for name in sorted(os.listdir(folder)):
        if name.endswith(".jinja"):
            source = open(os.path.join(folder, name), encoding="utf-8").read()
            for k in range(rounds):
                yield f"{name}-{k}", source, {**variables(random.Random(f"{name}-{k}")), "add_generation_prompt": k % 2 == 0}


METHODS = ["isalpha", "isdecimal", "isdigit", "isnumeric", "islower", "isupper", "istitle", "isspace", "isprintable", "isidentifier", "isalnum"]
CASES = ["upper", "lower", "title", "casefold", "swapcase", "capitalize"]


def characters(program):
    """Every character's case, properties and repr, and title() and lower() of long texts of all of them."""
    source = "{% for c in s %}" + "|".join("{{ c.%s() }}" % m for m in CASES) + "|" + "".join("{{ c.%s() | int }}" % m for m in METHODS) + "|{{ [c] }}\n{% endfor %}{{ s.title() }}{{ s.lower() }}"
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(0, len(every), 30000):
            part = every[i:i + 30000]
            text = "".join(part)
            want = "".join("|".join([getattr(c, m)() for m in CASES] + ["".join(str(int(getattr(c, m)())) for m in METHODS), str([c])]) + "\n" for c in part)
            got, said = colrow(program, folder, source, {"s": text})
            wrong += got != want + text.title() + text.lower()
    print(f"{len(every)} characters, {wrong} parts of 30000 differ")
    sys.exit(wrong != 0)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("colrow")
    a.add_argument("-n", type=int, default=3000)
    a.add_argument("--seed", default="1")
    a.add_argument("--templates", help="a folder of real templates, rendered with random conversations too")
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--write")
    a.add_argument("--keep", type=int, default=700)
    a.add_argument("--show", type=int, default=20)
    a.add_argument("--characters", action="store_true", help="compare str's methods on every character instead")
    o = a.parse_args()
    if o.characters:
        characters(o.colrow)
    count, reasons, kept, shown = collections.Counter(), collections.Counter(), [], 0
    cases = list(generated(o.seed, o.n)) + (list(real(o.templates, o.rounds)) if o.templates else [])
    with tempfile.TemporaryDirectory() as folder:
        for name, source, values in cases:
            want, error = reference(source, values)
            got, said = colrow(o.colrow, folder, source, values)
            if error == "too long":
                kind = "reference too long"
            elif said and said.startswith("CRASH"):
                kind = "DIFFERENT"
            elif want is not None and got == want:
                kind = "equal"
            elif error and said:
                kind = "error on both sides"
            elif want is not None and said and (any(r in said for r in REFUSED) or ADDRESS.search(want)):
                kind = "refused"
                reasons[re.sub(r"line \d+: ", "", said.replace("colrow: error: ", ""))[:100]] += 1
            else:
                kind = "DIFFERENT"
            count[kind] += 1
            if kind == "DIFFERENT" and shown < o.show:
                shown += 1
                print(f"---- {name}\n{source!r}\n  variables {json.dumps(values, ensure_ascii=False)}\n  Jinja2: {want!r} {error or ''}\n  colrow: {got!r} {said or ''}")
            if kind in ("equal", "error on both sides") and len(source) < 1500:
                used = {k: v for k, v in values.items() if re.search(rf"\b{k}\b", source)}
                kept.append({"template": source, "variables": used, **({"output": want} if error is None else {"error": True})})
    print(f"{len(cases)} templates: " + ", ".join(f"{v} {k}" for k, v in sorted(count.items())))
    for reason, n in reasons.most_common(30):
        print(f"  refused {n}: {reason}")
    if o.write:
        with open(o.write, "w", encoding="utf-8") as f:
            json.dump({"made by": "tools/differential_templates.py", "cases": kept[:o.keep]}, f, ensure_ascii=True, indent=0)
            f.write("\n")
    sys.exit(count["DIFFERENT"] != 0)


main()
