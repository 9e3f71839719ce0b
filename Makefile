# Two commands set everything up on a fresh machine: `make serve` and `make test`. Needed: Python 3.11 or newer, git, make.
# 两条命令即可完成全部准备：make serve 与 make test。只需 Python 3.11 或更高版本、git 和 make。
#
#   make serve ARGS="--port 9000"     options for the program · 传给程序的选项
#   make serve PYTHON=python3.12      which Python makes .venv · 用哪个 Python 创建 .venv

ARGS =
PYTHON =
export PYTHON

BIN := .venv/bin
# Stamps, touched when the environment is whole: the second `make serve` starts at once.
TO_RUN := .venv/to-run.stamp
TO_WORK := .venv/to-work.stamp

.PHONY: help serve install test test-all check static bench bench-local docs

help: ## 列出这些命令 · list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 16

serve: $(TO_RUN) ## 安装所缺并启动服务器 · install what is missing and start the server
	@before=$$(export -p); if [ -f .env ]; then set -a; . ./.env; set +a; eval "$$before"; fi; exec $(BIN)/qiao serve $(ARGS)

install: $(TO_RUN) ## 只安装运行所需 · install what running needs
	@echo "$(BIN)/qiao --help"

test: static ## 检查并运行测试 · the checks and the tests
	$(BIN)/pytest -m "not clients" $(ARGS)

test-all: static ## 另加第三方客户端的测试· also with real third-party clients (needs node)
	$(BIN)/pytest $(ARGS)

check: static ## 格式、规则、类型、分层、大小 · format, lint, types, layers, sizes
	$(BIN)/pytest tests/test_house.py

static: $(TO_WORK)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports --no-logo

bench: $(TO_WORK) ## 测量性能 · measure the speed
	$(BIN)/python bench/run.py $(ARGS)

bench-local: $(TO_WORK) ## 测量本地引擎 · measure the local engine
	$(BIN)/python bench/local.py $(ARGS)

docs: $(TO_WORK) ## 重新生成文档 · write the generated documents again
	$(BIN)/python -m tools.docs $(ARGS)

# Gone, or a link to a Python that is gone: the environment is made anew.
.venv/bin/python: ;

$(TO_RUN): pyproject.toml uv.lock .venv/bin/python
	@tools/house/environment.sh --no-dev
	@touch $@

$(TO_WORK): pyproject.toml uv.lock .venv/bin/python
	@tools/house/environment.sh
	@touch $@ $(TO_RUN)
