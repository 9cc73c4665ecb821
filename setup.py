"""Compiles the hot modules with Cython when a C compiler is there; plain Python otherwise.

Everything else about the distribution is in pyproject.toml. `CDC_BUILD=pure` skips compilation,
`CDC_BUILD=compiled` turns a failed compilation into an error.
"""

import os
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

# The same list as cdc/compiled.py, which cannot be imported here: nothing is installed yet.
HOT_MODULES = [
    "cdc.event",
    "cdc.logs.kafka.queueing",
    "cdc.rows",
    "cdc.serializers.debezium_json",
    "cdc.serializers.json_numbers",
    "cdc.serializers.json_rows",
    "cdc.serializers.json_text",
    "cdc.serializers.json_time",
    "connectors.postgres.blocks",
    "connectors.postgres.pgoutput",
    "connectors.postgres.values",
    "connectors.postgres.copy_drain",
    "connectors.postgres.copy_text",
]
CHOICE = os.environ.get("CDC_BUILD", "auto")


class OptionalBuildExt(build_ext):
    """Builds what it can and says plainly which of the two implementations will run."""

    def run(self):
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            self._fall_back(error)
            return
        if self.extensions:
            print(f"tidewire: compiled {len(self.extensions)} hot modules", file=sys.stderr)

    def build_extension(self, extension):
        try:
            super().build_extension(extension)
        except (CCompilerError, OSError) as error:
            raise BaseError(f"{extension.name}: {error}") from error

    def _fall_back(self, error):
        if CHOICE == "compiled":
            raise error
        print(f"tidewire: no compiled modules, plain Python will run ({error})", file=sys.stderr)
        self.extensions = []


def extensions():
    if CHOICE == "pure":
        print("tidewire: CDC_BUILD=pure, plain Python will run", file=sys.stderr)
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if CHOICE == "compiled":
            raise
        print("tidewire: no Cython, plain Python will run", file=sys.stderr)
        return []
    from setuptools import Extension

    return cythonize(
        [
            Extension(
                name, [str(Path(*name.split(".")).with_suffix(".py"))], extra_compile_args=["-O2"]
            )
            for name in HOT_MODULES
        ],
        build_dir="build/cython",
        language_level=3,
        compiler_directives={"annotation_typing": False, "boundscheck": True, "wraparound": True},
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": OptionalBuildExt})
