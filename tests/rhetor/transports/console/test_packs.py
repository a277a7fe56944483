"""The packs in which the modules of the console are sent."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.needs import needs

from rhetor.transports.console.assets import SCRIPT, assets
from rhetor.transports.console.packs import imported, packs

MODULES = {
    "app/main.js": """// The first view.
import { html as drawn, render } from "preact";
import plot from "uplot";
import { double as twice, LIMIT } from "#model/numbers.js";

export const shown = [drawn, render, plot, twice(LIMIT)];
export const load = () => import("#views/other.js");
""",
    "model/numbers.js": """export const LIMIT = 21;
export function double(number) {
  return number * 2;
}
export async function later() {}
export class Sum {}
""",
    "views/other.js": """import { LIMIT } from "#model/numbers.js";
import { last } from "#model/last.js";

export default function Other() {
  return LIMIT - last;
}
""",
    "model/last.js": "export const last = 1;\n",
}
ROOTS = {"app": ["app/main.js"], "other": ["views/other.js"]}


def test_a_module_is_in_the_first_pack_that_needs_it() -> None:
    assert packs(ROOTS, MODULES.__getitem__) == {
        "app": """import { html as drawn, render } from "preact";
import { default as plot } from "uplot";
export const model_numbers = (() => {
const LIMIT = 21;
function double(number) {
  return number * 2;
}
async function later() {}
class Sum {}
return { LIMIT, double, later, Sum };
})();
export const app_main = (() => {
const { double: twice, LIMIT } = model_numbers;
// The first view.

const shown = [drawn, render, plot, twice(LIMIT)];
const load = () => import("#other").then((pack) => pack.views_other);
return { shown, load };
})();
""",
        "other": """import { model_numbers } from "#app";
export const model_last = (() => {
const last = 1;
return { last };
})();
export const views_other = (() => {
const { LIMIT } = model_numbers;
const { last } = model_last;
function Other() {
  return LIMIT - last;
}
return { default: Other };
})();
""",
    }


def test_packs_run_as_their_modules_would(tmp_path: Path) -> None:
    imports = {"#app": "./app.mjs", "#other": "./other.mjs"}
    (tmp_path / "package.json").write_text(json.dumps({"imports": imports}))
    libraries = {"preact": "export const html = 1, render = 2;", "uplot": "export default 3;"}
    for library, text in libraries.items():
        folder = tmp_path / "node_modules" / library
        folder.mkdir(parents=True)
        (folder / "index.mjs").write_text(text)
        (folder / "package.json").write_text(json.dumps({"main": "index.mjs"}))
    for name, text in packs(ROOTS, MODULES.__getitem__).items():
        (tmp_path / f"{name}.mjs").write_text(text)
    code = """import { app_main } from "#app";
console.log(JSON.stringify([app_main.shown, (await app_main.load()).default()]));"""
    (tmp_path / "run.mjs").write_text(code)
    assert json.loads(_node(tmp_path / "run.mjs")) == [[1, 2, 3, 42], 20]


@pytest.mark.parametrize(
    "line",
    [
        'import "#model/last.js";',
        'import * as all from "#model/last.js";',
        "import { last } from '#model/last.js';",
        'export * from "#model/last.js";',
        "export { last };",
        "export let last = 1;",
        "export const { last } = all;",
        "await last;",
    ],
)
def test_other_forms_of_imports_and_exports_are_rejected(line: str) -> None:
    with pytest.raises(ValueError, match=r"app/main\.js: import and export as the other modules do"):
        packs({"app": ["app/main.js"]}, {"app/main.js": f"{line}\n", "model/last.js": ""}.__getitem__)


def test_modules_that_import_each_other_are_rejected() -> None:
    modules = {
        "a.js": 'import { b } from "#b.js";\nexport const a = b;\n',
        "b.js": 'import { a } from "#a.js";\nexport const b = a;\n',
    }
    with pytest.raises(ValueError, match=r"a\.js and b\.js import each other"):
        packs({"app": ["a.js"]}, modules.__getitem__)


@pytest.mark.parametrize("name", [n for n, asset in assets().files.items() if asset.media_type == SCRIPT])
def test_every_script_is_valid_as_it_is_sent(name: str, tmp_path: Path) -> None:
    asset = assets().files[name]
    path = tmp_path / ("script.cjs" if name == "app/early.js" else "script.mjs")
    path.write_bytes(asset.content)
    _node("--check", path)
    assert all(source in assets().imports for source in imported(asset.content.decode()))


def _node(*arguments: str | Path) -> str:
    command = [needs("node"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
