"""The sentences of the generated pages in Chinese, by the English ones of the code."""

from __future__ import annotations

TEXT = {
    "Written by `make docs` from the code.": "本页由 `make docs` 根据代码生成。",
    "yes": "是",
    "no": "否",
    "required": "必填",
    "Meaning": "含义",
    # settings
    "Settings": "配置项",
    "Order: command line, environment, `qiao.toml` (or `--config FILE`), default. `make serve` also reads `.env`.": (
        "优先级：命令行、环境变量、`qiao.toml`（或 `--config FILE`）、默认值。`make serve` 还会读取 `.env`。"
    ),
    "In qiao.toml": "qiao.toml 中",
    "In the environment": "环境变量",
    "Default": "默认值",
    "Address to listen on; others than loopback need client keys": "监听地址；非回环地址必须设置客户端密钥",
    "Port to listen on; 0 takes a free one": "监听端口；0 表示自动选择空闲端口",
    "Folder for all state": "存放全部状态的目录",
    "Client keys, separated by commas": "客户端密钥，用逗号分隔",
    "Key of the admin paths; without it they are off": "管理路径的密钥；不设则管理路径关闭",
    "Between two looks at the health of an engine that shares its load": "对分担负载的引擎两次健康检查之间",
    "Web origins that browsers may call from, separated by commas, or *": "允许浏览器调用的网站来源，逗号分隔，或 *",
    "Further Host names to answer to, separated by commas": "除本机外还接受的 Host 名称，用逗号分隔",
    "What answers; without it the cloud if there is a key, else the local model": (
        "由谁回答；不设时，有云端密钥用云端，否则用本地模型"
    ),
    "The cloud's key (DASHSCOPE_API_KEY); it stays on the server": "云端密钥（DASHSCOPE_API_KEY），只留在服务器上",
    "Region of the cloud key": "云端密钥所属地域",
    "Workspace of the cloud key": "云端密钥所属业务空间",
    "Root address to use instead of the region's": "代替地域默认根地址的地址",
    "Address of the http engine": "http 引擎的地址",
    "Key of the http engine": "http 引擎的密钥",
    "Model of the local engine: a GGUF file, a folder, a name, or demo for the built-in one; "
    "without it the largest Qwen model on this machine that fits into memory": (
        "本地引擎的模型：GGUF 文件、文件夹、模型名，或 demo 表示内置模型；不设则用本机内存放得下的最大的千问模型"
    ),
    "Context length of the local engine in tokens": "本地引擎的上下文长度（token）",
    "Minutes without a call after which a local model gives its memory back until the next one; "
    "0 is never; without it never for a model that was loaded at the start, else 15": (
        "本地模型闲置多少分钟后释放内存，下次调用时再加载；0 表示从不；不设时，启动时加载的模型从不释放，其余为 15"
    ),
    "A llama-server to use in place of the built-in engine": "代替内置引擎的 llama-server 程序",
    "Seconds to the simulator's first token": "模拟器输出首个 token 前等待的秒数",
    "The simulator's tokens per second; 0 is at once": "模拟器每秒输出的 token 数；0 表示一次全部输出",
    "What is logged": "日志级别",
    "One line per call on standard error": "每次调用在标准错误输出一行",
    "Certificates to trust instead of the system's": "代替系统证书的受信任证书文件",
    "Engines by name, in place of `engine`": "具名引擎列表，代替 `engine`",
    "Which engines answer which models": "哪些模型由哪些引擎回答",
    "Further names for models": "模型的别名",
    "Time limits in seconds": "时间限制（秒）",
    "Size limits": "大小限制",
    "History": "对话历史",
    "`history` of a route.": "路由的 `history`。",
    "The last rounds: a question and what followed it": "最近几轮：一个问题及其后的内容",
    "What fits so many tokens, newest first": "从最新的开始，放得进这么多 token 的内容",
    "What of a long conversation is sent on: rounds, tokens, or both; all of it if left out": (
        "长对话发送哪些内容：轮数 rounds、token 数 tokens 或两者；不写则全部发送"
    ),
    "How many messages of the conversation were not sent on, where its route has `history`.": (
        "对话中有多少条消息没有发送（路由设置了 `history` 时）。"
    ),
    "Prices of your own": "自定价格",
    "Yuan per US dollar; the catalogue's rate if left out": "一美元合多少元；不写则用目录中的汇率",
    "What becomes of a cloud model without a known price; left out, it is served, its cost unknown": (
        "云端模型价格未知时怎么办；不写则照常调用，费用记为未知"
    ),
    "Your own prices, before the catalogue's": "自定价格，优先于目录价",
    "Prices": "价格",
    "`[[prices.models]]`, one table for each price of your own.": "`[[prices.models]]`，每个自定价格一张表。",
    "Tiers": "分档",
    "In `tiers` of a price: one row for each length of the input.": "价格的 `tiers` 中，每档输入长度一行。",
    "The first day on which it holds; of several the newest counts": "从哪天起生效；有多个时以最新的为准",
    "Currency": "货币",
    "Prices per million tokens by the length of the input": "每百万 token 的价格，按输入长度分档",
    "Input tokens of a request up to which it holds": "适用的输入 token 数上限",
    "Output of an answer that thought": "思考后回答的输出",
    "Input found in the implicit cache; 20 % of input if left out": "命中隐式缓存的输入；不写则为输入价的 20 %",
    "Images and films in the input": "输入中的图片与视频",
    "Sound in the input": "输入中的音频",
    "Text that answers more than text": "输入不止文本时的文本输出",
    "Sound in the output, whose text is then free": "音频输出（此时文本输出不计费）",
    "To connect to an engine": "连接引擎",
    "To the first byte of an answer": "等待回答的首个字节",
    "Between two reads of an answer": "回答过程中两次读取之间",
    "For a whole answer": "整个回答",
    "Silence after which a stream gets a comment": "流静默多久后发送一行保活注释",
    "For streams to end after SIGTERM": "收到 SIGTERM 后留给流结束的时间",
    "To keep the port open after SIGTERM, for load balancers; 0 on loopback, else 3": (
        "收到 SIGTERM 后端口继续开放的时间，留给负载均衡器；回环地址为 0，否则为 3"
    ),
    "For a request body to arrive": "等待请求体到齐",
    "Largest request body without Base64 data, in MiB": "不含 Base64 数据的请求体上限（MiB）",
    "Largest request body with Base64 data, in MiB": "含 Base64 数据的请求体上限（MiB）",
    "All request bodies held at once, in MiB": "同时持有的请求体总量上限（MiB）",
    "Open connections": "同时打开的连接数",
    "Engines": "引擎",
    "`[[engines]]`, one table for each engine, takes the place of `engine`.": (
        "`[[engines]]`：每个引擎一张表，代替 `engine`。"
    ),
    "The name that routes and headers use": "路由和响应头中使用的名称",
    "What it is; http finds out by itself which server it is": "引擎类型；http 会自行识别服务器的种类",
    "Address of an http engine, or a root address of the cloud": "http 类引擎的地址，或云端的根地址",
    "Key of the engine": "引擎的密钥",
    "Region of the cloud": "云端地域",
    "Workspace of the cloud": "云端业务空间",
    "Model of a local engine: a GGUF file, a folder, a name, or demo": (
        "本地引擎的模型：GGUF 文件、文件夹、模型名，或 demo"
    ),
    "Context length of a local or Ollama engine in tokens": "本地引擎或 Ollama 引擎的上下文长度（token）",
    "What a local engine is for; without it what its weights are made for": "本地引擎的用途；不设则按权重本身的用途",
    "Threads of a local engine; without it the processor's cores but one": ("本地引擎的线程数；不设则为处理器核数减一"),
    "Calls that a local engine answers at once, each with the memory of its context": (
        "本地引擎同时回答的调用数，每个都占用其上下文的内存"
    ),
    "Minutes as in `QIAO_IDLE`, for this engine": "此引擎的 `QIAO_IDLE`，单位分钟",
    "Routes": "路由",
    "`[[routes]]`, one table for each route; the first whose pattern fits is taken.": (
        "`[[routes]]`：每条路由一张表，取第一条匹配的。"
    ),
    "A model name; * and ? are wildcards": "模型名，可用通配符 * 和 ?",
    "Engine names, or name=MODEL to ask for another model there; those of a list inside share the load": (
        "按顺序尝试的引擎名；写成 name=MODEL 则向该引擎请求另一个模型；里层列表中的引擎分担负载"
    ),
    "Regions": "地域",
    "A key is valid in one region. With a workspace its own host is used instead of the shared one.": (
        "密钥只在一个地域有效。设置业务空间后，使用业务空间自己的主机名而不是共享主机名。"
    ),
    "Region": "地域",
    "Other names": "别名",
    "Place": "位置",
    "Shared host": "共享主机名",
    "none: set a workspace": "无，须设置业务空间",
    # command line
    "The command line": "命令行",
    "Exit codes: 0 it worked, 1 it failed, 2 the command line or a setting is wrong, 130 interrupted.": (
        "退出码：0 成功，1 失败，2 命令行或配置有误，130 被中断。"
    ),
    # paths and headers
    "HTTP paths and headers": "HTTP 路径与头部",
    "Served by every engine:": "任何引擎下都提供：",
    "Path": "路径",
    "Method": "方法",
    "Key": "需要密钥",
    "POST chat/completions: `stream` in the body decides.": "OpenAI 模式的对话；是否流式由请求体的 `stream` 决定。",
    "The vectors of texts, where an engine has such a model.": "文本的向量，须有引擎具备这类模型。",
    "Documents in the order of their relevance to a query, where an engine has such a model.": (
        "按与查询的相关度给文档排序，须有引擎具备这类模型。"
    ),
    "`embedding` or `rerank`; a chat has none.": "`embedding`（向量）或 `rerank`（重排序）；对话没有这一项。",
    "GET models of OpenAI mode.": "OpenAI 模式的模型列表。",
    "GET models/{id}.": "单个模型。",
    "POST text-generation/generation.": "原生协议的文本对话。",
    "POST multimodal-generation/generation.": "原生协议的多模态对话。",
    "GET /api/v1/models, by pages.": "原生协议的模型列表，分页。",
    "POST /api/v1/tokenizer: the tokens of a text, without those of the template.": "文本的 token，不含模板部分。",
    "The process is alive.": "进程存活。",
    "200 when a question can be answered: some engine is ready and the server is not stopping.": (
        "能够回答时返回 200：至少一个引擎就绪，且服务没有在停止。"
    ),
    "admin": "管理密钥",
    "The engines: state, what runs on them, cool-down, last look.": "各引擎的状态、在进行的调用、冷却和最近一次检查。",
    "Take an engine out: new calls go elsewhere, those that run end as they would.": (
        "停用一个引擎：新的调用去别处，在进行的照常完成。"
    ),
    "Take it in again.": "恢复使用。",
    "The Prometheus text.": "Prometheus 指标文本。",
    "Relayed to the cloud": "转发到云端",
    "These go byte for byte to the first cloud engine, under its key; `/v1/…` stands for `/compatible-mode/v1/…`. "
    "Without a cloud engine they are refused. `(a|b)` is one of them, `[…]` may be missing. "
    "With nothing but the cloud, the two listings of models and the tokenizer are relayed too.": (
        "以下请求原样转发给第一个云端引擎，并换上它的密钥；`/v1/…` 等同于 `/compatible-mode/v1/…`。"
        "没有云端引擎时会被拒绝。`(a|b)` 表示任选其一，`[…]` 表示可省略。"
        "只配置云端时，两种模型列表和 tokenizer 也会转发。"
    ),
    "Request headers": "请求头",
    "Header": "头部",
    "`Bearer KEY`: a client key, where client keys are set.": "`Bearer KEY`：客户端密钥，设置了客户端密钥时必须携带。",
    "The same, as Anthropic's clients send it.": "同上，Anthropic 客户端使用的写法。",
    "`enable` asks for a stream in the native protocol.": "`enable` 表示在原生协议中要求流式输出。",
    "A fault to rehearse; only the simulator looks at it.": "要演练的故障；只有模拟器会看。",
    "`1`: a stream from a local model begins with comments such as `: progress 512/2048`.": (
        "`1`：本地模型的流以 `: progress 512/2048` 这样的注释开头。"
    ),
    "Sent on to the cloud, and no others:": "只有以下请求头会发往云端：",
    "Response headers": "响应头",
    "The id of the answer, the same as in its body.": "回答的编号，与响应体中的一致。",
    "The engine that answered.": "作出回答的引擎。",
    "What must be known of that engine: that it is the simulator or the built-in model.": (
        "必须知道的引擎情况：回答来自模拟器或内置模型。"
    ),
    "Seconds to wait before the next try.": "下次尝试前应等待的秒数。",
    "`false` where another try cannot help; the SDKs obey it.": "重试无济于事时为 `false`，官方 SDK 会遵守。",
    "`no` on streams: reverse proxies must not collect them.": "流式响应为 `no`：反向代理不得缓冲。",
    "`no-cache` on streams.": "流式响应为 `no-cache`。",
    "The web origin, where `cors_origins` has it.": "`cors_origins` 中列出的网站来源。",
    "What scripts of that origin may read.": "该来源的脚本可以读取的响应头。",
    "`Origin`, where `cors_origins` is set.": "设置了 `cors_origins` 时为 `Origin`。",
    "Passed on from the cloud where it sends them:": "云端返回时会一并转交：",
    # metrics and the call log
    "Metrics and the call log": "指标与调用日志",
    (
        "`GET /metrics` needs a client key where there are any. "
        "No label holds a model name or anything else that a caller writes."
    ): "设有客户端密钥时，`GET /metrics` 也需要密钥。标签中没有模型名，也没有调用方能写入的其他内容。",
    "Metric": "指标",
    "Type": "类型",
    "Labels": "标签",
    "Calls settled.": "已结算的调用数。",
    "Tokens by kind.": "按类别统计的 token 数。",
    "Attempts made on engines.": "向引擎发起的尝试次数。",
    "Time to first byte.": "首字节耗时。",
    "Time to last byte.": "末字节耗时。",
    "Requests being answered.": "正在回答的请求数。",
    "Calls waiting for a local model.": "等待本地模型的调用数。",
    "Calls running on the engine.": "引擎上正在进行的调用数。",
    "Estimated tokens of the calls running on an engine that shares its load.": (
        "分担负载的引擎上正在进行的调用的 token 估算数。"
    ),
    "1 for the state that the engine is in: ready, cooling, unhealthy or draining.": (
        "引擎所处的状态为 1：ready 就绪、cooling 冷却、unhealthy 不健康、draining 停用。"
    ),
    "Requests passed on to the cloud as they are.": "原样转发给云端的请求数。",
    "Outcomes": "调用结局",
    "Outcome": "结局",
    "The answer ended as it should.": "回答正常结束。",
    "Nothing was answered: the caller's fault, or no engine had an answer.": (
        "没有作答：请求本身有误，或没有引擎能回答。"
    ),
    "The engine failed after the first byte.": "引擎在首字节之后失败。",
    "The client left before the end.": "客户端在结束前离开。",
    "The server stopped before the end.": "服务在结束前停止。",
    "The call log": "调用日志",
    "One JSON line per call on standard error. What is not known is left out; no prompt, key or header is in it.": (
        "每次调用在标准错误输出一行 JSON。未知的字段省略；不含提示词、密钥和请求头。"
    ),
    "Field": "字段",
    "When the call was settled, in seconds since 1970.": "结算时刻（1970 年起的秒数）。",
    "The id that Qiao gave the call.": "Qiao 给调用的编号。",
    "The id that the client saw, where the engine's answer bears its own.": "引擎的回答自带编号时，客户端看到的编号。",
    "Who called: `local` without client keys, else `key-` and the beginning of the key's SHA-256.": (
        "调用者：未设客户端密钥时为 `local`，否则为 `key-` 加密钥 SHA-256 的开头。"
    ),
    "The protocol spoken: `openai` or `dashscope`.": "使用的协议：`openai` 或 `dashscope`。",
    "The model name asked for.": "请求的模型名。",
    "Whether the answer was streamed.": "是否流式输出。",
    "How the call ended.": "调用结局。",
    "The HTTP status; 499 when the client left before the answer began.": (
        "HTTP 状态码；客户端在回答开始前离开时为 499。"
    ),
    "The code of the error.": "错误码。",
    "Input tokens.": "输入 token 数。",
    "Input tokens that came from the cloud's cache.": "命中云端缓存的输入 token 数。",
    "Output tokens, thinking included.": "输出 token 数，含思考部分。",
    "Output tokens that were thinking.": "输出中属于思考的 token 数。",
    "Cost in billionths of a yuan, by the price book; only for the cloud, and where the price is known.": (
        "按价格表计算的费用，单位为十亿分之一元；仅限云端，且价格已知时才有。"
    ),
    "What a whole answer of the cloud cost, in yuan; streams have it in the call log only.": (
        "云端完整回答的费用（元）；流式回答的费用只在调用日志里。"
    ),
    "Attempts until the answer; 0 where there was none.": "得到回答所用的尝试次数；没有回答时为 0。",
    "Milliseconds to the first byte of the answer.": "到回答首字节的毫秒数。",
    "Milliseconds to its last byte.": "到回答末字节的毫秒数。",
    # faults
    "Faults of the simulator": "模拟器的故障",
    "Model name": "模型名",
    "What happens": "发生什么",
    # models
    "Models": "模型",
    "Lengths in tokens; list prices per million tokens: in yuan in Beijing, in US dollars in Singapore. "
    "– is not known to the sources.": (
        "长度单位为 token；价格为每百万 token 的目录价：北京以元计，新加坡以美元计。– 表示资料中没有。"
    ),
    "Singapore in": "新加坡输入价",
    "Singapore out": "新加坡输出价",
    "cached": "命中缓存",
    "images": "图片",
    "sound": "音频",
    "mixed": "输入不止文本时",
    "Dated": "目录日期",
    "Source": "资料来源",
    "Names with a date, `-latest` or `-preview` behind them have the row of the name without it.": (
        "名称后带日期、`-latest` 或 `-preview` 的，适用不带后缀的那一行。"
    ),
    "Chat": "对话",
    "Model": "模型",
    "Thinks": "思考",
    "Context": "上下文",
    "Input": "最大输入",
    "Output": "最大输出",
    "Price in": "输入价",
    "Price out": "输出价",
    "unless told not to": "默认开启，可关闭",
    "when asked": "默认关闭，可开启",
    "always": "始终思考",
    "thinking": "思考",
    "Embedding and rerank": "向量与重排序",
    "Kind": "类别",
    "Input of one row": "单行最大输入",
    "Rows": "行数上限",
    "Dimensions": "维度",
    "embedding": "向量",
    "rerank": "重排序",
}
