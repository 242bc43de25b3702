"""Docstrings name code by Sphinx' roles, which other tools read; the site shows them as code."""

import re

import griffe


class PlainRoles(griffe.Extension):
    """:class:`~a.b.C` becomes `C`."""

    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring:
            text = re.sub(r':\w+:`~[\w.]*?(\w+)`', r'`\1`', obj.docstring.value)
            obj.docstring.value = re.sub(r':\w+:`([^`]+)`', r'`\1`', text)
