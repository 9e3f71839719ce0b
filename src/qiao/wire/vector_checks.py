"""The checks of embeddings and rerank requests: their shape, and the limits of a model of the catalogue.

Texts: reference §2.12 and §4.4; limits: §5.3.
"""

from __future__ import annotations

from qiao.errors import InvalidParameter
from qiao.wire import tokens, vectors
from qiao.wire.call import Task
from qiao.wire.checks import Checks
from qiao.wire.document import Document
from qiao.wire.model import Model

_TOO_MANY = "Value error, batch size is invalid, it should not be larger than {most}.: input.{name}"


def check(document: Document, task: Task, model: Model, level: Checks) -> None:
    """Raise InvalidParameter for the first thing that `level` does not let pass."""
    if level == "none":
        return
    if task == "rerank":
        ranking = vectors.ranking(document)
        if level == "cloud":
            _check_rows(ranking.documents, model, "documents")  # longer documents are cut by the cloud, not refused
        return
    embedding = vectors.embedding(document)
    if level != "cloud":
        return
    _check_rows(embedding.texts, model, "contents")
    # Where there is but one size the cloud ignores what is asked (public reports of text-embedding-v1 and v2).
    if embedding.dimensions and len(model.dimensions) > 1 and embedding.dimensions not in model.dimensions:
        known = ", ".join(map(str, sorted(model.dimensions)))
        text = f"Value error, dimension {embedding.dimensions} is invalid, it should be one of {known}.: "
        raise InvalidParameter(f"{text}parameters.dimension", param="dimensions")
    for text in embedding.texts:
        if not text or (model.max_input and len(text.encode()) > model.max_input < tokens.count(text)):
            raise InvalidParameter(f"Range of input length should be [1, {model.max_input}]", param="input")


def _check_rows(rows: list[str], model: Model, name: str) -> None:
    if model.max_rows is not None and len(rows) > model.max_rows:
        raise InvalidParameter(_TOO_MANY.format(most=model.max_rows, name=name), param=name)
