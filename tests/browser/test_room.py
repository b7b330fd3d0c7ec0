"""A room: two people and a model, over lost lines and a dead server."""

from playwright.sync_api import Locator, expect

from tests.browser.conftest import Tunnel, Visitors
from tests.browser.page import Room
from tests.support.server import ServerProcess


def test_two_people_and_the_model_talk(ann: Room, bert: Room) -> None:
    ann.come_in("lobby", "Ann")
    bert.come_in("lobby", "Bert")
    for one in (ann, bert):
        expect(one.tab.get_by_role("listitem").filter(has_text="Bert").first).to_be_visible()
    ann.say("Hello Bert!")
    expect(bert.message("Hello Bert!")).to_contain_text("Ann")
    bert.tab.get_by_label("Message", exact=True).press_sequentially("Hi")
    expect(ann.tab.locator("#typing")).to_have_text("Bert is writing …")
    bert.tab.get_by_label("Message", exact=True).press("Enter")
    expect(ann.message("Hi")).to_contain_text("Bert")
    expect(ann.tab.locator("#typing")).to_have_text("")
    expect(ann.message("Hello Bert!")).to_contain_text("seen by Bert")

    box = ann.tab.get_by_label("Message", exact=True)
    box.press_sequentially("@de")
    expect(ann.tab.get_by_role("option", name="demo")).to_have_attribute("aria-selected", "true")
    ann.shoot("room-mention")
    box.press("Enter")
    box.press_sequentially("How do I resume a stream?")
    box.press("Enter")
    expect(bert.answer.locator(".plain")).to_contain_text("I am Headwater's built-in demo model")
    expect(bert.answer).to_contain_text("answers Ann")
    for one, name in ((ann, "room"), (bert, "room-phone-dark")):
        one.shoot(f"{name}-growing")
    for one in (ann, bert):
        one.answer.locator(".prose").wait_for()
    assert ann.texts == bert.texts
    assert ann.texts[-1].rstrip().endswith("docs/models.md shows all three.")
    for one, name in ((ann, "room"), (bert, "room-phone-dark")):
        one.shoot(name)


def test_anybody_stops_an_answer(ann: Room, bert: Room) -> None:
    ann.come_in("stop", "Ann")
    bert.come_in("stop", "Bert")
    ann.say("@demo How do I resume a stream?")
    expect(bert.answer.locator(".plain")).to_contain_text("I am")
    bert.answer.get_by_role("button", name="Stop").click()
    for one in (ann, bert):
        expect(one.answer).to_contain_text("Somebody stopped this answer.")
    assert ann.texts == bert.texts


def tool(message: Locator, name: str) -> None:
    """Use one of a message's tools, which show where the pointer is."""
    message.hover()
    message.get_by_role("group").get_by_role("button", name=name).click()


def test_messages_are_edited_reacted_to_and_deleted(ann: Room, bert: Room) -> None:
    ann.come_in("edit", "Ann")
    bert.come_in("edit", "Bert")
    ann.say("Helo")
    expect(bert.message("Helo")).to_be_visible()
    tool(ann.message("Helo"), "Edit")
    editor = ann.tab.get_by_label("Edit your message")
    editor.fill("Hello")
    editor.press("Enter")
    expect(bert.message("Hello")).to_contain_text("edited")
    tool(ann.message("Hello"), "Heart")
    pressed = bert.message("Hello").get_by_role("button", name="Heart: Ann")
    expect(pressed).to_have_attribute("aria-pressed", "false")
    pressed.click()
    expect(ann.message("Hello").get_by_role("button", name="Heart: Ann, Bert")).to_contain_text("2")
    tool(ann.message("Hello"), "Delete")
    tool(ann.message("Hello"), "Really delete")
    for one in (ann, bert):
        expect(one.tab.locator(".message.deleted .plain")).to_have_text("This message was deleted.")


def test_what_is_said_without_a_network_is_said_once_after(ann: Room, bert: Room, tunnel: Tunnel) -> None:
    ann.url = tunnel.url
    ann.come_in("tunnel", "Ann")
    bert.come_in("tunnel", "Bert")
    with tunnel.without_network(ann):
        ann.wait_for_line("You are offline")
        ann.say("Into the tunnel")
        expect(ann.message("Into the tunnel")).to_contain_text("Sending …")
        bert.say("Ann?")
        expect(bert.message("Ann?")).not_to_contain_text("Sending …")
        ann.shoot("room-offline")
    ann.wait_for_line("Back, nothing was missed")
    expect(ann.message("Into the tunnel")).not_to_contain_text("Sending …")
    expect(bert.message("Into the tunnel")).to_be_visible()
    assert ann.texts == bert.texts == ["Ann?", "Into the tunnel"]


def test_a_room_outlives_its_server(ann: Room, server: ServerProcess) -> None:
    ann.come_in("phoenix", "Ann")
    ann.say("Before")
    expect(ann.message("Before")).not_to_contain_text("Sending …")
    with ann.outage():
        server.kill()
        ann.wait_for_line("Connection lost")
        ann.say("Meanwhile")
        server.restart()
        ann.wait_for_line("Back")
        expect(ann.message("Meanwhile")).not_to_contain_text("Sending …")
    ann.reload()
    ann.wait_for_line("Live")
    assert ann.texts == ["Before", "Meanwhile"]


def test_an_answer_outlives_its_server_and_says_who_goes_on(ann: Room, server: ServerProcess) -> None:
    ann.come_in("phoenix", "Ann")
    ann.say("@demo How do I cancel a run?")
    expect(ann.answer.locator(".plain")).to_contain_text("I am Headwater's built-in demo model")
    before = ann.texts[-1]
    with ann.outage():
        server.restart()
        expect(ann.answer.locator(".attempt")).to_have_text("Continued after its worker was lost")
        ann.shoot("room-continued")
        ann.answer.locator(".prose").wait_for()
    assert ann.texts[-1].startswith(before), "nothing was withdrawn"
    expect(ann.tab.locator("#said")).to_contain_text("demo: Continued after its worker was lost.")


def test_history_is_read_back_as_far_as_it_goes(ann: Room, visitors: Visitors) -> None:
    ann.come_in("long", "Ann")
    for n in range(70):
        ann.say(f"Line {n}")
    expect(ann.message("Line 69")).not_to_contain_text("Sending …")
    late = visitors.tab(Room, ann.tab.context)
    late.open("/rooms/long")
    late.wait_for_line("Live")
    expect(late.tab.locator(".message")).to_have_count(50)
    late.tab.get_by_role("button", name="Earlier messages").click()
    expect(late.tab.locator(".message")).to_have_count(70)
    assert late.texts == [f"Line {n}" for n in range(70)]
    expect(late.tab.get_by_role("button", name="Earlier messages")).to_be_hidden()


def test_a_room_is_found_in_the_list(ann: Room) -> None:
    ann.open("/rooms")
    expect(ann.tab.get_by_text("There is none yet")).to_be_visible()
    ann.tab.get_by_label("Your name").fill("Ann")
    ann.tab.get_by_label("Room", exact=True).fill("kitchen")
    ann.tab.get_by_role("button", name="Enter").click()
    ann.wait_for_line("Live")
    ann.tab.get_by_role("link", name="All rooms").click()
    expect(ann.tab.get_by_label("Your name")).to_have_value("Ann")
    ann.shoot("rooms")
    ann.tab.get_by_role("link", name="kitchen").click()
    ann.wait_for_line("Live")
