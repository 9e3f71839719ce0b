// Runs the named cases of one file and prints one JSON line per case: the Node twin of runner.py.
//
//     node runner.mjs cases/openai_node.mjs http://127.0.0.1:8000 sk-key simulator plain stream
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [file, origin, key, engine, ...cases] = process.argv.slice(2);
const server = { origin, key, engine, openai: `${origin}/compatible-mode/v1` };
// Packages are looked up where the environment is, which is the working directory.
globalThis.packages = createRequire(pathToFileURL(`${process.cwd()}/`));

const module = await import(pathToFileURL(file));
for (const name of cases) {
  let error = null;
  try {
    await module[name](server);
  } catch (cause) {
    error = cause.stack ?? String(cause);
  }
  console.log(JSON.stringify({ case: name, error }));
}
