# /// script
# dependencies = ["mutmut==3.8.1"]
# ///
"""Makes mutants of modules, a line of JSON each: `mutations.py ROOT FILE…`, in an environment that has mutmut.

The changes are mutmut's, but each mutant is the whole file with one of them; `mutants.py` tries them.
"""

import difflib
import json
import sys
from pathlib import Path

from mutmut.mutation.file_mutation import create_mutations, deep_replace


def make(root: Path, files: list[str]) -> None:
    """Print the mutants of these files."""
    for name in files:
        before = (root / name).read_text()
        module, mutations, *_ = create_mutations(name, before)
        inner = [one for one in mutations if one.contained_by_top_level_function is not None]
        for number, one in enumerate(inner):
            after = deep_replace(module, one.original_node, one.mutated_node).code
            difference = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
            if difference:
                mutant = {"id": f"{Path(name).stem}#{number}", "file": name, "code": after}
                print(json.dumps({**mutant, "difference": difference}))


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2:])
