"""Permission requests in the console: the view of all of them, and the alert in other views."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect
from tests.console.asking import AGENT, AskingDriver, asked
from tests.console.browser import console
from tests.served import Served, served

from rhetor.domain.budget import Budget
from rhetor.domain.event import PermissionAnswered, TurnCompleted
from rhetor.domain.output import Done, Permission, Text, Usage
from rhetor.domain.questions import Choice, Question

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


def hub_that_asks(folder: Path, *requests: Permission) -> AbstractAsyncContextManager[Served]:
    driver = AskingDriver(*requests)
    return served(folder, drivers={"asking": driver}, also=[AGENT])


async def ask(home: Served, content: str = "do it") -> str:
    """Send the peer a message for which it asks; return the session."""
    session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "agent"})).json["id"]
    headers = {"prefer": "respond-async"}
    answer = await home.ask(
        "POST", f"/api/v2/sessions/{session}/message", {"message": content}, headers=headers
    )
    assert answer.status == 202, answer.text
    return str(session)


async def answer_of(home: Served, session: str) -> PermissionAnswered:
    payloads = await home.seen(session, lambda one: isinstance(one, PermissionAnswered))
    found = payloads[-1]
    assert isinstance(found, PermissionAnswered)
    return found


async def test_a_request_is_answered_with_the_button_that_has_the_options_name(tmp_path: Path) -> None:
    async with (
        hub_that_asks(tmp_path, asked({"input": {"command": "rm -rf build"}})) as home,
        console(home, "/permissions") as page,
    ):
        await expect(page.get_by_text("No request waits for an answer")).to_be_visible()
        session = await ask(home)
        request = page.get_by_role("region", name="agent asks to use Bash")
        await expect(request.get_by_text("rm -rf build", exact=True)).to_be_visible()
        await expect(page).to_have_title("(1) Permissions · aish")
        names = await request.get_by_role("button").all_inner_texts()
        assert [name.split("\n")[0] for name in names] == ["Allow once", "Allow always", "Deny"]
        await request.get_by_role("button", name="Allow always", exact=True).click()
        await expect(request.get_by_text("You answered here: Allow always")).to_be_visible()
        assert await request.get_by_role("button").count() == 0
        assert (await answer_of(home, session)).option_id == "always"
        await expect(page).to_have_title("Permissions · aish")


@pytest.mark.long
async def test_a_number_answers_the_oldest_request(tmp_path: Path) -> None:
    requests = [asked({"command": "first"}), asked({"command": "second"})]
    async with hub_that_asks(tmp_path, *requests) as home, console(home, "/permissions") as page:
        sessions = [await ask(home), await ask(home)]
        await expect(page.get_by_role("listitem").filter(has_text="asks to use")).to_have_count(2)
        await page.wait_for_timeout(600)  # keys that are typed before are ignored
        await page.keyboard.press("3")
        assert (await answer_of(home, sessions[0])).option_id == "deny"
        await page.keyboard.press("1")  # at once: it was meant for the request that was answered
        await expect(page.get_by_text("You answered here: Deny")).to_be_visible()
        await page.wait_for_timeout(600)
        assert await page.get_by_text("You answered here").count() == 1
        await page.keyboard.press("1")
        assert (await answer_of(home, sessions[1])).option_id == "once"


@pytest.mark.long
async def test_an_answer_that_was_given_elsewhere_is_shown(tmp_path: Path) -> None:
    async with (
        hub_that_asks(tmp_path, asked({"command": "ls"})) as home,
        console(home, "/permissions") as page,
    ):
        session = await ask(home)
        request = page.get_by_role("region", name="agent asks to use Bash")
        await expect(request.get_by_role("button", name="Deny")).to_be_visible()
        path = f"/api/v2/sessions/{session}/permissions/{await request.get_attribute('data-request')}"
        assert (await home.ask("POST", path, {"option_id": "deny"})).status == 200
        await expect(request.get_by_text("Answered elsewhere by me: Deny")).to_be_visible()
        assert await request.get_by_role("button").count() == 0


async def test_of_two_pages_one_wins_and_both_show_it(tmp_path: Path) -> None:
    async with (
        hub_that_asks(tmp_path, asked({"command": "ls"})) as home,
        console(home, "/permissions") as one,
        console(home, "/permissions") as other,
    ):
        session = await ask(home)
        await other.get_by_role("button", name="Deny").wait_for()
        await one.context.route("**/permissions/*", lambda route: _after(route, other, home, session))
        await one.get_by_role("button", name="Allow once").click()
        await expect(one.get_by_text("Answered elsewhere by me: Deny")).to_be_visible()
        await expect(other.get_by_text("You answered here: Deny")).to_be_visible()
        assert (await answer_of(home, session)).option_id == "deny"


async def _after(route: Route, other: Page, home: Served, session: str) -> None:
    """Let an answer reach the hub after the one of another page."""
    await other.get_by_role("button", name="Deny").click()
    await answer_of(home, session)
    await route.continue_()


async def test_questions_are_answered_with_options_and_with_own_words(tmp_path: Path) -> None:
    questions = (
        Question("Colour", "Colour", "Which colour?", (Choice("Red"), Choice("Blue", "like the sea"))),
        Question(
            "Sizes", "Sizes", "Which sizes?", (Choice("S"), Choice("M"), Choice("L")), multi_select=True
        ),
        Question("Name", "Name", "Which name?"),
    )
    async with (
        hub_that_asks(tmp_path, asked({}, tool="AskUserQuestion", questions=questions)) as home,
        console(home, "/permissions") as page,
    ):
        session = await ask(home)
        form = page.get_by_role("region", name="agent asks")
        submit = form.get_by_role("button", name="Answer")
        await expect(submit).to_be_disabled()
        await form.get_by_role("radio", name="Blue").check()
        await form.get_by_role("checkbox", name="S", exact=True).check()
        await form.get_by_role("checkbox", name="L").check()
        await form.get_by_label("Which name?").fill("Ida")
        await submit.click()
        await expect(
            form.get_by_text("You answered here: Colour: Blue · Sizes: S, L · Name: Ida")
        ).to_be_visible()
        answers = (await answer_of(home, session)).answers
        assert answers == {"Colour": ["Blue"], "Sizes": ["S", "L"], "Name": "Ida"}


@pytest.mark.long
async def test_a_request_counts_down_and_is_withdrawn_with_its_turn(tmp_path: Path) -> None:
    async with (
        hub_that_asks(tmp_path, asked({"command": "ls"}, expires_at="2099-01-01T00:00:00Z")) as home,
        console(home, "/permissions") as page,
    ):
        session = await ask(home)
        request = page.get_by_role("region", name="agent asks to use Bash")
        await expect(request.get_by_text("without an answer")).to_be_visible()
        await home.ask("POST", f"/api/v2/sessions/{session}/interrupt")
        await expect(request.get_by_text("no longer waits for an answer")).to_be_visible()


@pytest.mark.long
async def test_a_request_is_shown_in_every_other_view(tmp_path: Path) -> None:
    async with hub_that_asks(tmp_path, asked({"command": "ls"})) as home, console(home) as page:
        await page.get_by_role("heading", name="Peers", level=1).wait_for()
        session = await ask(home)
        alert = page.get_by_role("complementary", name="Waiting request")
        await expect(alert.get_by_role("button", name="Allow once")).to_be_visible()
        await page.wait_for_timeout(600)
        await page.keyboard.press("1")  # not while the focus is elsewhere
        await page.keyboard.press("w")
        await page.wait_for_timeout(600)
        assert await alert.get_by_role("button", name="Allow once").is_visible()
        await page.keyboard.press("1")
        await expect(alert).to_have_count(0)
        assert (await answer_of(home, session)).option_id == "once"
        await home.seen(session, lambda one: isinstance(one, TurnCompleted))


@pytest.mark.long
async def test_a_sound_and_a_notification_tell_of_a_request_that_is_not_shown(tmp_path: Path) -> None:
    requests = [asked({"command": "first"}), asked({"command": "second"}), asked({"command": "third"})]
    async with hub_that_asks(tmp_path, *requests) as home, console(home, "/permissions") as page:
        await page.context.grant_permissions(["notifications"], origin=home.node.console)
        await page.add_init_script(RECORD)
        await page.reload()
        await page.get_by_role("checkbox", name="Play a sound").check()
        await page.get_by_role("checkbox", name="Show a notification on the desktop").check()
        assert await page.evaluate("tones.length") == 2  # so that one knows what it sounds like
        await ask(home)
        await expect(page.get_by_role("region", name="agent asks to use Bash")).to_have_count(1)
        assert await page.evaluate("[tones.length, told]") == [2, []]  # it is on the screen
        await page.keyboard.press("g")
        await page.keyboard.press("p")
        await ask(home)
        await expect(page.locator("html")).to_have_attribute("data-told", "1")
        assert await page.evaluate("[tones.length, told]") == [4, [["agent asks to use Bash", "second"]]]
        await page.reload()  # both stay on
        await page.get_by_role("heading", name="Peers", level=1).wait_for()
        await ask(home)
        await expect(page.locator("html")).to_have_attribute("data-told", "1")
        assert await page.evaluate("told") == [["agent asks to use Bash", "third"]]


@pytest.mark.long
async def test_without_the_browsers_permission_there_are_no_notifications_and_the_page_says_why(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home, console(home, "/permissions") as page:
        desktop = page.get_by_role("checkbox", name="Show a notification on the desktop")
        await desktop.click()
        await expect(page.get_by_role("alert")).to_contain_text(
            "The browser blocks notifications of this page."
        )
        await expect(desktop).not_to_be_checked()


# records the real notifications and tones of the page
RECORD = """
globalThis.told = [];
globalThis.tones = [];
globalThis.Notification = class extends Notification {
  constructor(title, options) {
    super(title, options);
    document.documentElement.dataset.told = told.push([title, options.body]);
  }
};
globalThis.OscillatorNode = class extends OscillatorNode {
  start(at) { tones.push(this.frequency.value); super.start(at); }
};
"""


@pytest.mark.long
async def test_a_turn_over_its_budget_is_continued_with_the_option_of_its_name(tmp_path: Path) -> None:
    spent = [Text("one"), Usage("m", 20, 0, cost="0"), Done()]
    budget = Budget("peer.apollo", tokens_per_day=10)
    async with (
        served(tmp_path, spent, [Text("two"), Done()], budgets=[budget]) as home,
        console(home, "/permissions") as page,
    ):
        session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        path = f"/api/v2/sessions/{session}/message"
        await home.ask("POST", path, {"message": "first"})
        await home.ask("POST", path, {"message": "second"}, headers={"prefer": "respond-async"})
        request = page.get_by_role("region", name="apollo is paused")
        await expect(request.get_by_text("peer.apollo")).to_be_visible()
        await expect(request.get_by_text("The limit resets at")).to_be_visible()
        await request.get_by_role("button", name="Continue once", exact=True).click()
        await expect(request.get_by_text("You answered here: Continue once")).to_be_visible()
        assert (await answer_of(home, session)).option_id == "continue"
