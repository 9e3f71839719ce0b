"""Write a random model: `python -m tools.random_model NAME OUT [--kind q8_0] [--folder]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from qiao.weights.gguf_file import Kind
from tools.random_model.shapes import MODELS
from tools.random_model.writing import write_folder, write_gguf


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.random_model", description="Write a random model.")
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("out", type=Path, help="the GGUF file, or with --folder the folder")
    parser.add_argument("--kind", choices=[kind.name.lower() for kind in Kind], default="f32")
    parser.add_argument("--folder", action="store_true", help="as Hugging Face files, in BF16")
    options = parser.parse_args()
    if options.folder:
        write_folder(options.name, options.out)
    else:
        write_gguf(options.name, options.out, Kind[options.kind.upper()])


if __name__ == "__main__":
    main()
