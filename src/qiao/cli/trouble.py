"""What a command cannot go on with, already said in the user's language."""

from __future__ import annotations


class Trouble(Exception):
    """One sentence that names what is wrong and what to do, and the exit code: 1 failed, 2 used or set up wrongly."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.exit_code = exit_code
