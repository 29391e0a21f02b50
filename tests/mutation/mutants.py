# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure core, and every small fault that can be made in it. Pure but for reading the sources.

Two libraries do this, and neither copes. mutmut 3.8 has the code import mutmut, which what runs on a host alone
cannot, leaves tables outside functions as they are, and finds no test for a module below ``ansible_collections``.
cosmic-ray 8.7 works, but in the checkout itself, which it leaves changed when it is ended; it has one test command for
all modules, draws no sample, and brings 25 packages (SQLAlchemy, aiohttp).
"""

from __future__ import annotations

import ast
import dataclasses
import pathlib

CORE = "plugins/module_utils"
# Who imports one of these does, or may do, something to the machine.
_DOERS = {"command", "ctypes", "fcntl", "files", "glob", "mmap", "os", "pathlib", "select", "shutil", "signal",
          "socket", "subprocess", "sys", "tempfile", "threading", "time"}
# Decisions on which the kernel's life hangs, although they hold descriptors or look for files.
_AS_WELL = {CORE + "/netmap/changes.py", CORE + "/ptnet/devices.py", CORE + "/qemu/definition.py"}
_COMPARED = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
             ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
_COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
             ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One fault.

    :ivar path: the file, below the checkout (str)
    :ivar line: where it is (int)
    :ivar old: what stands there (str)
    :ivar new: what stands there instead (str)
    :ivar span: bytes of the file that are replaced (pair of int)
    :ivar lines: those of its statement, or of the head of it (range)
    :ivar function: those of its function, None outside (range)
    """

    path: str
    line: int
    old: str
    new: str
    span: tuple
    lines: range
    function: range | None

    def text(self, source):
        """The file with the fault in it (str)."""
        data = source.encode()
        return (data[:self.span[0]] + self.new.encode() + data[self.span[1]:]).decode()

    def __str__(self):
        shown = (" ".join(text.split()) for text in (self.old, self.new))
        return "%s:%d  %s  →  %s" % (self.path, self.line, *(text[:70] for text in shown))


def core(root):
    """The files of the pure core: those that import nothing which does something to the machine (list of str).

    :param root: the checkout (path)
    """
    found = []
    for path in sorted((pathlib.Path(root) / CORE).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                names.update((node.module or "").split(".")[:1], (one.name for one in node.names if not node.module))
            elif isinstance(node, ast.Import):
                names.update(one.name.split(".")[0] for one in node.names)
        name = str(path.relative_to(root))
        if (not names & _DOERS and len(tree.body) > 1) or name in _AS_WELL:
            found.append(name)
    return found


def mutants(path, source):
    """All faults of one file (list of Mutant)."""
    tree, starts = ast.parse(source), [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []

    def visit(node, lines, function):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            lines = range(node.lineno, (body[0].lineno if body else node.end_lineno + 1))
            if isinstance(node, (ast.FunctionDef, ast.Lambda)):
                function = range(body[0].lineno, node.end_lineno + 1)
        for new in _changes(node):
            span = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
            old = source.encode()[span[0]:span[1]].decode()
            found.append(Mutant(path, node.lineno, old, new, span, lines, function))
        for field, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                # What an error says in words is no decision.
                if isinstance(child, ast.AST) and not (isinstance(node, ast.Raise) and field == "exc"):
                    visit(child, lines, function)

    visit(tree, range(1), None)
    return found


def _changes(node):
    """What may stand in the place of a node, in brackets where it is an expression (yields str)."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
        yield _with(node, ops=[_COMPARED[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "(%s)" % ast.unparse(node.operand)
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED and not _text(node.left):
        yield _with(node, op=_COMPUTED[type(node.op)]())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield from (str(node.value + 1), str(node.value - 1))[:2 if node.value else 1]
    elif isinstance(node, ast.Return) and node.value is not None and not (
            isinstance(node.value, ast.Constant) and node.value.value is None):
        yield "return None"
    elif (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)) or isinstance(node, ast.Raise):
        yield "pass"


def _with(node, **fields):
    return "(%s)" % ast.unparse(type(node)(**{**dict(ast.iter_fields(node)), **fields}))


def _text(node):
    """Whether an operand is text or a list, with which one does not compute (bool)."""
    return isinstance(node, (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp)) or (
        isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))
