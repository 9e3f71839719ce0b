"""`qiao cost`: what a question would cost in the cloud, at most."""

from __future__ import annotations

import json

from qiao.cli.ask import text
from qiao.cli.options import Cost
from qiao.cli.text import say, told
from qiao.cli.trouble import Trouble
from qiao.config import ConfigError, Settings

_TEMPLATE = 8  # tokens around a lone question: the marks of its turn and of the answer's


def run(options: Cost) -> int:
    """Print the bound and how it comes about; nothing is asked and no network is needed."""
    from qiao.engines import regions
    from qiao.gate import prices
    from qiao.gate.catalog import Catalog
    from qiao.wire import tokens
    from qiao.wire.usage import Usage

    catalog = Catalog.load()
    try:
        settings = Settings.load(options.config, {"region": options.region})
        region = regions.find(settings.region)
        book = prices.PriceBook.of(catalog, settings.prices.model_dump(mode="json"))
    except ConfigError as error:
        raise Trouble(told(error), 2) from error
    except ValueError as error:
        raise Trouble(str(error), 2) from error
    question = text(options.prompt)
    if not question:
        raise Trouble(say("cost.nothing"), 2)
    model = catalog.find(options.model)
    thinks = model.thinks(options.think)
    longest = (model.output_limit(thinks) or 0) + ((model.max_thought or 0) if thinks else 0)
    usage = Usage(
        input=tokens.count(question) + _TEMPLATE, output=longest if options.output is None else options.output
    )
    bound = book.cost(model, usage, thought=thinks, scope=region.scope)
    if bound is None:
        raise Trouble(say("cost.unknown", model=options.model, region=region.name))
    if options.json:
        print(
            json.dumps(
                {
                    "model": options.model,
                    "region": region.name,
                    "input": usage.input,
                    "output": usage.output,
                    "nano_yuan": bound.nano,
                    "formula": bound.formula,
                    "dated": str(catalog.dated),
                },
                ensure_ascii=False,
            )
        )
        return 0
    print(say("cost.bound", model=options.model, region=region.name, cost=prices.yuan(bound.nano)))
    print(say("cost.tokens", input=f"{usage.input:,}", output=f"{usage.output:,}"))
    print(bound.formula)
    print(say("cost.dated", dated=catalog.dated))
    return 0
