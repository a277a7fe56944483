"""The terminal view: real programs in real terminals, which several windows share."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, WebSocketRoute, expect
from tests.console.browser import console
from tests.needs import needs
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.served import with_programs

from rhetor.domain.output import Done, Text
from rhetor.settings import ToolSettings

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

# shows its size when it changes, and each typed line
TELLS = """
import os, signal, sys
def size(*_): os.write(1, b"size %d %d\\n" % (os.get_terminal_size().lines, os.get_terminal_size().columns))
signal.signal(signal.SIGWINCH, size)
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("end"):
        sys.exit(int(line.split()[1]))
    print("heard", line.strip(), flush=True)
"""
FLOODS = """
import sys
sys.stdin.readline()
line = "x" * 99 + "\\n"
for _ in range(2_000):
    sys.stdout.write(line * 100)
print("flooded", flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
"""
# asks what kind of terminal it has when `q` is pressed, and counts the answers
ASKS = """
import os, re, sys, tty
tty.setraw(0)
print("ready\\r", flush=True)
read = b""
while True:
    data = os.read(0, 1000)
    if b"q" in data:
        os.write(1, b"\\x1b[c")
    read += data
    answers = len(re.findall(rb"\\x1b\\[\\?[0-9;]*c", read))
    print("answers", answers, "keys", read.count(b"k"), "\\r", flush=True)
"""
# each of these could run something in a page that takes what a program writes for more than text
HOSTILE = r"""
import sys
out = sys.stdout.write
print("ready", flush=True)
sys.stdin.readline()
out("\x1b]0;<img src=x onerror=document.title='owned'>\x07")
out("\x1b]2;\u202eevil\x07")
out("\x1b]8;;javascript:document.title='owned'\x1b\\click me\x1b]8;;\x1b\\\r\n")
out("\x1b]8;;data:text/html,<script>1</script>\x1b\\and me\x1b]8;;\x1b\\\r\n")
out("\x1b]52;c;b3duZWQ=\x07\x1b]52;c;?\x07")
out("<script>document.title='owned'</script><img src=x onerror=document.title='owned'>\r\n")
out("\x1b[21t\x1b[8;999;999t\x1bP$q\"p\x1b\\\x1b]1337;File=name=eA==;inline=1:PGI+\x07\x1b]9;note\x07")
out("\x1b[38;2;9;9;9mdark\x1b[0m \x07\x07 https://example.org/a?b=(c). done\r\n")
sys.stdout.flush()
for line in sys.stdin:
    print("heard", repr(line), flush=True)
"""


def screen(page: Page) -> Locator:
    return page.locator(".xterm-rows")


async def open_terminal(page: Page, text: str) -> None:
    """Wait until the program's screen is on the page and the focus is in it."""
    await expect(screen(page)).to_contain_text(text)
    await expect(page.get_by_role("textbox", name="Terminal input")).to_be_focused()


async def window_of(page: Page, url: str) -> Page:
    """Open another window of the same browser."""
    other = await page.context.new_page()
    await other.goto(url)
    return other


async def place_of(page: Page, text: str) -> tuple[float, float]:
    """Return where a row of the screen has this text, a few cells after its beginning."""
    row = screen(page).locator("> div", has_text=text)
    box, before = await row.bounding_box(), (await row.inner_text()).replace("\xa0", " ").index(text)
    assert box is not None
    cell = await page.evaluate("document.querySelector('.xterm-screen').clientWidth") / await columns(page)
    return box["x"] + (before + 3) * cell, box["y"] + box["height"] / 2


async def columns(page: Page) -> int:
    return int((await page.locator(".size").inner_text()).split(" × ")[0])


async def click_with_control(page: Page, x: float, y: float) -> None:
    await page.mouse.move(x, y)
    await page.keyboard.down("Control")
    await page.mouse.click(x, y)
    await page.keyboard.up("Control")


async def test_vim_takes_what_is_typed_and_saves_it(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    async with with_programs() as home:
        # with the file's name in a line that is still there when the window has another size
        command = (needs("vim"), "--clean", "-n", "-c", "set laststatus=2", str(file))
        await home.announce("editor", *command, kind="terminal")
        async with console(home, "/terminals/editor") as page:
            await open_terminal(page, "notes.txt")
            await page.keyboard.type("ifrom the sofa: ü ✓")
            await page.keyboard.press("Escape")
            await page.keyboard.type(":wq\n")
            await expect(page.locator(".terminal-banner")).to_contain_text("has ended with exit code 0")
            assert file.read_text() == "from the sofa: ü ✓\n"


@pytest.mark.long
async def test_windows_that_type_share_the_smallest_size(tmp_path: Path) -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with console(home, "/terminals/p", width=1200, height=800) as page:
            await open_terminal(page, "size")
            large = await page.locator(".size").inner_text()
            other = await window_of(page, page.url)
            await other.set_viewport_size({"width": 700, "height": 500})
            await expect(other.get_by_role("list", name="Watchers").get_by_role("listitem")).to_have_count(2)
            await expect(page.locator(".size")).to_contain_text("the smallest window that types")
            shared = (await other.locator(".size").inner_text()).split(":")[0]
            await expect(page.locator(".size")).to_contain_text(shared)
            cols, rows = shared.split(" × ")
            await expect(screen(page)).to_contain_text(f"size {rows} {cols}")
            await other.get_by_role("switch", name="Type into it").uncheck()  # it no longer counts
            await expect(page.locator(".size")).to_have_text(large)
            await expect(page.get_by_role("list", name="Watchers")).to_contain_text("me watches")


@pytest.mark.long
async def test_one_window_answers_what_the_program_asks_its_terminal() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, ASKS, kind="terminal")
        async with console(home, "/terminals/p") as page:
            await open_terminal(page, "ready")
            other = await window_of(page, page.url)
            watching = await window_of(page, f"{page.url}?mode=r")
            await expect(watching.get_by_role("list", name="Watchers").get_by_role("listitem")).to_have_count(
                3
            )
            await other.get_by_role("textbox", name="Terminal input").press("q")
            await expect(screen(other)).to_contain_text("answers 1")
            await other.keyboard.type("k")  # after what the others could have answered
            await expect(screen(other)).to_contain_text("answers 1 keys 1")
            await page.get_by_role("textbox", name="Terminal input").press("k")
            await expect(screen(page)).to_contain_text("answers 1 keys 2")


@pytest.mark.long
async def test_a_window_that_watches_sends_no_keys_and_keeps_the_size() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal", rows=20, cols=70)
        async with console(home, "/terminals/p?mode=r") as page:
            await open_terminal(page, "ready")
            await expect(page.locator(".size")).to_contain_text("70 × 20")
            await page.keyboard.type("never\n")
            await page.get_by_role("switch", name="Type into it").check()
            await page.get_by_role("textbox", name="Terminal input").focus()
            await page.keyboard.type("typed\n")
            await expect(screen(page)).to_contain_text("heard typed")
            await expect(screen(page)).not_to_contain_text("never")
            await expect(page).to_have_url(f"{home.node.console}/terminals/p")


@pytest.mark.long
async def test_the_keyboard_can_leave_the_terminal_and_return() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with console(home, "/terminals/p") as page:
            await open_terminal(page, "ready")
            await expect(page.get_by_text("leaves the terminal")).to_be_visible()
            await page.keyboard.press("Tab")
            await expect(page.get_by_role("textbox", name="Terminal input")).to_be_focused()
            await page.keyboard.press("Control+Shift+X")
            await expect(page.get_by_role("switch", name="Type into it")).to_be_focused()
            for _ in range(10):
                await page.keyboard.press("Tab")
                if await page.evaluate("document.activeElement.ariaLabel") == "Terminal input":
                    break
            await page.keyboard.type("back\n")
            await expect(screen(page)).to_contain_text("heard back")


@pytest.mark.long
async def test_copied_text_is_what_is_on_the_screen_and_pasted_text_has_no_control_characters() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with console(home, "/terminals/p") as page:
            await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            await open_terminal(page, "ready")
            await page.keyboard.press("Control+Shift+C")
            await asyncio.sleep(0.2)
            assert (await page.evaluate("navigator.clipboard.readText()")).startswith("ready")
            await page.evaluate("navigator.clipboard.writeText('one\\x1b[201~\\x03two\\n')")
            await page.keyboard.press("Control+Shift+V")
            await expect(screen(page)).to_contain_text("heard one[201~two")
            await page.evaluate("navigator.clipboard.writeText('three\\n')")
            await page.get_by_role("button", name="Paste").click()
            await expect(screen(page)).to_contain_text("heard three")


@pytest.mark.long
async def test_a_flood_of_output_does_not_freeze_the_page() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, FLOODS, kind="terminal")
        async with console(home, "/terminals/p") as page:
            await open_terminal(page, "")
            await page.evaluate(
                """() => {
                    window.longest = 0;
                    let last = performance.now();
                    const tick = (now) => {
                        window.longest = Math.max(window.longest, now - last);
                        last = now;
                        requestAnimationFrame(tick);
                    };
                    requestAnimationFrame(tick);
                }"""
            )
            await page.keyboard.type("go\n")
            await expect(screen(page)).to_contain_text("flooded", timeout=60_000)
            await page.keyboard.type("after\n")
            await expect(screen(page)).to_contain_text("heard after")
            assert await page.evaluate("window.longest") < 2000  # milliseconds between two frames


async def test_hostile_output_runs_nothing_and_reads_no_clipboard() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, HOSTILE, kind="terminal")
        async with console(home, "/terminals/p") as page:
            await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            await page.evaluate("navigator.clipboard.writeText('mine')")
            await open_terminal(page, "ready")
            await page.keyboard.type("\n")
            await expect(screen(page)).to_contain_text("click me")
            opened: list[Page] = []
            page.context.on("page", lambda page: opened.append(page))
            for text in ("click me", "and me"):
                await click_with_control(page, *await place_of(page, text))
            await expect(page.locator(".terminal-title")).to_have_text("evil")
            assert "owned" not in await page.title()
            assert await page.locator(".xterm img, .xterm script").count() == 0
            assert await page.evaluate("navigator.clipboard.readText()") == "mine"
            assert opened == []
            await page.keyboard.type("\n")
            await expect(screen(page)).to_contain_text("heard")


@pytest.mark.long
async def test_a_link_opens_with_a_modifier_only() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, HOSTILE, kind="terminal")
        async with console(home, "/terminals/p") as page:
            await page.context.route("https://example.org/**", lambda route: route.fulfill(body="there"))
            await open_terminal(page, "ready")
            await page.keyboard.type("\n")
            x, y = await place_of(page, "https://example.org")
            await page.mouse.move(x, y)
            await expect(page.locator(".size")).to_have_text(
                "Control+click opens https://example.org/a?b=(c)"
            )
            await page.mouse.click(x, y)
            assert len(page.context.pages) == 1
            async with page.context.expect_page() as opening:
                await click_with_control(page, x, y)
            assert (await opening.value).url == "https://example.org/a?b=(c)"


@pytest.mark.long
async def test_a_program_that_has_ended_can_be_started_again() -> None:
    tools = {"cat": ToolSettings(driver="terminal", executable="cat")}
    async with with_programs(tools=tools) as home, console(home, "/terminals") as page:
        await page.get_by_role("button", name="Start cat").click()
        await page.get_by_role("link", name="Open cat").click()
        await expect(page.get_by_role("textbox", name="Terminal input")).to_be_focused()
        await page.keyboard.press("Control+d")
        await expect(page.locator(".terminal-banner")).to_contain_text("has ended with exit code 0")
        await page.get_by_role("button", name="Start again cat").click()
        await expect(page.locator(".terminal-banner")).to_be_empty()
        await page.get_by_role("textbox", name="Terminal input").focus()
        await page.keyboard.type("meow\n")
        await expect(screen(page)).to_contain_text("meowmeow")


@pytest.mark.long
async def test_a_lost_program_is_named_as_lost() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with console(home, "/terminals/p") as page:
            await open_terminal(page, "ready")
            os.kill(home.hub.state.instances["p"].running.host_pid, signal.SIGKILL)
            await expect(page.locator(".terminal-banner")).to_contain_text("lost")
            await expect(page.locator(".terminal-banner")).to_contain_text("where you started it.")


@pytest.mark.long
async def test_a_terminal_whose_host_does_not_answer_is_attached_when_it_does() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        host = home.hub.state.instances["p"].running.host_pid
        async with console(home, faultless=False) as page:  # the browser reports each rejected attempt
            os.kill(host, signal.SIGSTOP)
            try:
                await page.goto(f"{home.node.console}/terminals/p")
                banner = page.locator(".terminal-banner")
                await expect(banner).to_contain_text("The connection to the terminal is lost")
            finally:
                os.kill(host, signal.SIGCONT)
            await open_terminal(page, "ready")
            await expect(banner).to_be_empty()


@pytest.mark.long
async def test_after_a_lost_connection_the_screen_is_drawn_again_once() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with console(home) as page:
            attached: asyncio.Queue[WebSocketRoute] = asyncio.Queue()

            def keep(socket: WebSocketRoute) -> None:
                server = socket.connect_to_server()

                def pass_on(message: str | bytes) -> None:
                    socket.send(message)
                    # the browser warns of a socket that is closed before it is open
                    if message == '{"type":"replayed"}':
                        attached.put_nowait(socket)

                server.on_message(pass_on)

            await page.route_web_socket("**/ws/attach/**", keep)
            await page.goto(f"{home.node.console}/terminals/p")
            await open_terminal(page, "ready")
            await page.keyboard.type("first\n")
            await expect(screen(page)).to_contain_text("heard first")
            for code in (1012, 4008):
                await (await attached.get()).close(code=code)
            await page.keyboard.type("second\n")  # before it is attached again
            await expect(screen(page)).to_contain_text("heard second")
            assert (await screen(page).inner_text()).count("heard first") == 1


@pytest.mark.long
async def test_a_forwarded_message_is_shown_beside_the_terminal_and_never_typed() -> None:
    async with with_programs([Text("<b>do</b> this\n"), Done()]) as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        await home.ask("PUT", "/api/v2/forwards/apollo", {"to": "p"})
        async with console(home, "/terminals/p") as page:
            await open_terminal(page, "ready")
            await home.ask("POST", "/api/v2/ai/apollo/message", {"content": "hi"})
            beside = page.get_by_role("complementary", name="Forwarded messages")
            await expect(beside).to_contain_text("<b>do</b> this")
            await page.keyboard.type("mine\n")
            await expect(screen(page)).to_contain_text("heard mine")
            await expect(screen(page)).not_to_contain_text("do")


@pytest.mark.long
@pytest.mark.parametrize("name", ["nobody", "pipe", "apollo"])
async def test_what_has_no_terminal_says_why(name: str) -> None:
    async with with_programs() as home:
        await home.announce("pipe", "cat")
        async with console(home, f"/terminals/{name}") as page:
            said = {"nobody": "nobody", "pipe": "does not run in a terminal", "apollo": "is not running"}
            await expect(page.locator(".terminal-banner")).to_contain_text(said[name])


@pytest.mark.long
async def test_a_phone_has_a_bar_of_keys() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with console(home, "/terminals/p", width=360, height=640) as page:
            await open_terminal(page, "ready")
            keys = page.get_by_role("group", name="Keys")
            await page.keyboard.type("ab")
            await keys.get_by_role("button", name="Ctrl, for the next key").click()
            await page.keyboard.type("u")  # deletes the line
            await page.keyboard.type("cd\n")
            await expect(screen(page)).to_contain_text("heard cd")
            await keys.get_by_role("button", name="Up", exact=True).click()
            await keys.get_by_role("button", name="Esc").click()
            await expect(screen(page)).to_contain_text("^[[A^[")
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360
