"""One chat on the page, by mouse and by keyboard."""

import json
from typing import Any

import pytest
from playwright.async_api import Page, expect
from support.gateways import serving

from fastchat_gateway.settings import Settings

from .conftest import MODELS, Hand, Keyboard, Look, World, ask, idle, shown
from .model import Script, start

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_model_is_chosen_a_prompt_is_sent_and_its_cost_and_speed_are_told(page: Page, hand: Hand) -> None:
    await hand.choose(page.get_by_role("combobox", name="Model"), "gamma")
    await hand.write(page.locator("#composer-input"), "Hello there")
    await hand.use(page.locator("#send-button"))
    await idle(page)
    assert await shown(page) == ["Hello there", "gamma heard: Hello there"]
    assert "5 tokens in · 7 out · first after " in await page.locator(".figures:visible").text_content()


async def test_all_models_that_generate_are_offered_in_the_gateways_order(page: Page) -> None:
    assert await page.locator("select option").all_inner_texts() == sorted(MODELS)


async def test_shift_and_enter_begin_a_line_and_enter_sends(page: Page, world: World) -> None:
    await page.locator("#composer-input").focus()
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await idle(page)
    assert world.model.requests[-1]["messages"] == [{"role": "user", "content": "one\ntwo"}]


async def test_a_response_is_shown_while_it_comes_and_can_be_stopped(page: Page, hand: Hand, world: World) -> None:
    world.model.go_on.clear()
    world.model.scripts["slow"] = Script("First half and second half", pauses=True, piece=10)
    await page.locator("#composer-input").fill("slow")
    await page.keyboard.press("Enter")
    await expect(page.locator(".assistant .text")).to_have_text("First half")
    await expect(page.locator(".assistant")).to_have_attribute("aria-busy", "true")
    if isinstance(hand, Keyboard):
        await page.keyboard.press("Escape")
    else:
        await hand.use(page.locator("#stop-button"))
    await idle(page)
    world.model.go_on.set()
    assert "stopped" in await page.locator(".assistant .figures").text_content()
    await ask(page, "again")
    assert [each["content"] for each in world.model.requests[-1]["messages"]] == ["slow", "First half", "again"]


async def test_a_response_is_generated_again_and_both_versions_stay(page: Page, hand: Hand, world: World) -> None:
    world.model.scripts["pick"] = Script("first")
    await ask(page, "pick")
    world.model.scripts["pick"] = Script("second")
    await hand.use(page.get_by_label("Regenerate response"))
    await expect(page.locator(".assistant .text")).to_have_text("second")
    await idle(page)
    await hand.use(page.get_by_label("Previous version of the response"))
    assert await shown(page) == ["pick", "first"]
    await hand.use(page.get_by_label("Next version of the response"))
    assert await shown(page) == ["pick", "second"]


async def test_an_edited_message_is_a_branch_and_the_other_one_stays(page: Page, hand: Hand) -> None:
    await ask(page, "one")
    await ask(page, "two")
    await hand.use(page.get_by_label("Edit message").first)
    await expect(page.locator("#edit-note")).to_be_visible()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("three")
    await page.keyboard.press("Enter")
    await idle(page)
    assert await shown(page) == ["three", "alpha heard: three"]
    await hand.use(page.get_by_label("Previous version of the message"))
    assert await shown(page) == ["one", "alpha heard: one", "two", "alpha heard: two"]


async def test_arrow_up_edits_the_last_message_and_escape_leaves_it_as_it_was(page: Page) -> None:
    await ask(page, "one")
    await page.keyboard.press("ArrowUp")
    assert await page.locator("#composer-input").input_value() == "one"
    await page.keyboard.press("Escape")
    assert await page.locator("#composer-input").input_value() == ""
    assert await shown(page) == ["one", "alpha heard: one"]


async def test_settings_are_sent_and_what_makes_no_sense_is_said(page: Page, hand: Hand, world: World) -> None:
    await hand.use(page.locator("#settings-button"))
    await hand.write(page.locator("#set-system"), "Be brief.")
    await hand.write(page.locator("#set-temperature"), "7")
    await hand.use(page.locator("#settings-form .primary"))
    assert await page.locator("#settings-problem").inner_text() == "Temperature is a number from 0 to 2."
    await page.locator("#set-temperature").fill("0.5")
    await page.locator("#set-max_tokens").fill("9")
    await page.locator("#set-stop").fill("END\nSTOP")
    await hand.use(page.locator("#settings-form .primary"))
    await ask(page, "hello")
    sent = world.model.requests[-1]
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["temperature"], sent["max_tokens"], sent["stop"]) == (0.5, 9, ["END", "STOP"])
    assert "seed" not in sent


async def test_reasoning_and_tool_calls_are_folded_until_they_are_opened(page: Page, hand: Hand, world: World) -> None:
    calls = [("weather", '{"city":"Paris"}'), ("broken", '{"city"')]
    world.model.scripts["think"] = Script("Done.", reasoning="First this. Then that.", calls=calls)
    await ask(page, "think")
    folded = page.locator(".extras details")
    assert await folded.locator("summary").all_text_contents() == [
        "Reasoning",
        "Tool call: weather",
        "Tool call: broken",
    ]
    await expect(page.get_by_text("First this. Then that.")).to_be_hidden()
    for summary in await folded.locator("summary").all():
        await hand.use(summary)
    assert await folded.locator(".folded").all_text_contents() == [
        "First this. Then that.",
        json.dumps({"city": "Paris"}, indent=2),
        '{"city"',
    ]


@pytest.mark.parametrize(
    ("status", "error", "remedy"),
    [
        (400, {"message": "The context is full.", "code": "context_length_exceeded"}, "Change the message"),
        (429, {"message": "Too many.", "code": "rate_limit_exceeded"}, "Try again"),
        (500, {"message": "It broke."}, "finds the cause in its log"),
    ],
)
async def test_an_error_is_told_in_the_apis_words_with_what_to_do(
    page: Page, world: World, status: int, error: dict[str, str], remedy: str
) -> None:
    world.model.scripts["bad"] = Script(error=(status, {"error": error}))
    await ask(page, "bad")
    said = await page.locator(".note.error").text_content()
    assert said.startswith(error["message"])
    assert remedy in said


async def test_a_key_is_asked_for_kept_in_the_tab_only_and_can_be_forgotten(
    look: Look, hand: Hand, world: World
) -> None:
    page = (await look(url=world.guarded)).page
    await expect(page.locator("#key-dialog")).to_be_visible()
    await page.keyboard.type("users-key")
    await page.keyboard.press("Enter")
    await expect(page.locator("select option")).to_have_text(["alpha"])
    await ask(page, "hello")
    kept = await page.evaluate("[JSON.stringify(sessionStorage), JSON.stringify(localStorage)]")
    assert ("users-key" in kept[0], "users-key" in kept[1]) == (True, False)
    await page.reload()
    await expect(page.locator("select option")).to_have_text(["alpha"])
    await hand.use(page.locator("#key-button"))
    await hand.use(page.locator("#key-forget"))
    await expect(page.locator("#key-dialog")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0


async def test_chats_are_kept_listed_deleted_exported_and_imported(page: Page, hand: Hand, tmp_path) -> None:
    await ask(page, "the first chat")
    await hand.use(page.locator("#new-chat"))
    await ask(page, "the second chat")
    assert await page.locator(".chat-title").all_inner_texts() == ["the second chat", "the first chat"]
    async with page.expect_download() as downloading:
        await hand.use(page.locator("#export-chats"))
    file = tmp_path / "chats.json"
    await (await downloading.value).save_as(file)
    await page.reload()
    await hand.use(page.get_by_role("button", name="the first chat", exact=True))
    assert await shown(page) == ["the first chat", "alpha heard: the first chat"]
    for title in ("first", "second"):
        await hand.use(page.get_by_label(f"Delete the {title} chat"))
    assert await page.locator(".chat-title").count() == 0
    async with page.expect_file_chooser() as choosing:
        await hand.use(page.locator("#import-chats"))
    await (await choosing.value).set_files(file)
    await expect(page.locator(".chat-title")).to_have_text(["the second chat", "the first chat"])
    assert await shown(page) == ["the second chat", "alpha heard: the second chat"]


async def test_a_file_that_holds_no_chats_is_refused_and_nothing_is_lost(page: Page) -> None:
    await ask(page, "kept")
    for content, why in (
        ("{", "JSON"),
        ('{"format": "x"}', "form"),
        ('{"format": "fastchat-chats/1", "chats": [{}]}', "read"),
    ):
        file = {"name": "bad.json", "mimeType": "application/json", "buffer": content.encode()}
        await page.locator("#import-file").set_input_files(file)  # type: ignore[arg-type]
        await expect(page.locator("#history-problem")).to_contain_text(why)
        await page.evaluate("document.getElementById('history-problem').textContent = ''")
    assert await page.locator(".chat-title").all_inner_texts() == ["kept"]


async def test_the_theme_is_chosen_and_stays(page: Page, hand: Hand) -> None:
    for theme in ("light", "dark"):
        await hand.use(page.locator("#theme-button"))
        assert await page.locator("html").get_attribute("data-theme") == theme
    await page.reload()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"


async def test_a_screen_reader_is_told_sentences_and_not_every_token(page: Page, world: World) -> None:
    world.model.scripts["long"] = Script("A sentence of some words. " * 40, piece=3)
    await page.evaluate("""() => {
      window.said = [];
      const announcer = document.getElementById("announcer");
      new MutationObserver(() => said.push(announcer.textContent)).observe(announcer, {childList: true});
    }""")
    await ask(page, "long")
    await expect(page.locator("#announcer")).not_to_be_empty()
    said = await page.evaluate("window.said")
    assert 1 <= len(said) < 20
    assert said[-1].endswith("A sentence of some words.")


async def test_what_came_of_a_response_that_breaks_stays_beside_the_error(page: Page, world: World) -> None:
    world.model.scripts["break"] = Script("First half and second half", breaks=True, piece=10)
    await ask(page, "break")
    assert await shown(page) == ["break", "First half"]
    await expect(page.locator(".note.error")).not_to_be_empty()
    world.model.scripts["break"] = Script("whole")
    await page.get_by_label("Regenerate response").click()
    await idle(page)
    assert await shown(page) == ["break", "whole"]


async def test_a_request_that_is_held_says_what_it_waits_for(look: Look, world: World) -> None:
    sleeping = await start(world.model, "sleepy")
    sleeping.ready_status = 503
    settings: dict[str, Any] = {
        "workers": (sleeping.url,),
        "poll_seconds": 0.1,
        "comment_seconds": 0.1,
        "grace_period_seconds": 0.1,
    }
    async with serving(Settings(**settings, access_log=False)) as (url, _):
        page = (await look(url=url)).page
        await page.locator("select option").wait_for(state="attached")
        await page.locator("#composer-input").fill("hello")
        await page.keyboard.press("Enter")
        await expect(page.locator(".note")).to_have_text(["", "Waiting for a worker to start…"])
        sleeping.ready_status = 200
        await idle(page)
        assert await shown(page) == ["hello", "sleepy heard: hello"]
        await page.goto("about:blank")
    await sleeping.kill()
