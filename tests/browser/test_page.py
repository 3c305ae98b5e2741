"""The page in a real browser: photos, the webcam, a clip, options, downloads, keyboard, phone, dark mode."""

import csv
import io
import json

import pytest

from browser.conftest import PHONE
from inference.stand_in import write_model
from serving.running import running


def expect_text(page, selector, text):
    page.locator(selector, has_text=text).first.wait_for(timeout=20_000)


def choose(page, photos):
    expect_text(page, "#status", "Ready")
    page.set_input_files("#files", photos)
    expect_text(page, "#status", "Done:")


def test_photos(open_page, photos, screenshot):
    page = open_page()
    choose(page, photos)
    assert page.locator("article h3").all_inner_texts() == ["two people.png", "nobody.jpg"]
    assert page.locator("article .hint").all_inner_texts() == ["2 people", "0 people"]
    first = page.locator("article").first
    assert first.get_by_role("img").get_attribute("aria-label") == "two people.png with 2 people drawn"
    page.get_by_text("People as a table").first.click()
    assert [row.split("\t")[1] for row in first.locator("tbody tr").all_inner_texts()] == ["0.784", "0.392"]
    # The first person's lines were drawn: the canvas differs from the photo, which is red, green and black.
    blue = page.evaluate(
        "() => { const c = document.querySelector('canvas'); const p = c.getContext('2d').getImageData(0, 0, c.width,"
        " c.height).data; let n = 0; for (let i = 2; i < p.length; i += 4) n += p[i] > 100; return n; }"
    )
    assert blue > 20
    screenshot(page, "photos")


def test_the_threshold_leaves_people_out(open_page, photos):
    page = open_page()
    choose(page, photos[:1])
    page.locator("#threshold").fill("0.5")
    assert page.locator("article .hint").inner_text() == "1 person"
    assert page.locator("#threshold-value").inner_text() == "0.500"


def test_another_skeleton(open_page, photos):
    page = open_page()
    choose(page, photos[:1])
    with page.expect_response("**/v1/poses?*skeleton=crowdpose"):
        page.locator("#skeleton").select_option("crowdpose")
    page.get_by_text("People as a table").click()
    expect_text(page, "article td", "of 14")


def test_downloads(open_page, photos, service):
    page = open_page()
    choose(page, photos[:1])
    saved = {}
    for kind in ("picture", "JSON", "CSV"):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=f"Save {kind}: two people.png").click()
        saved[kind] = (waiting.value.suggested_filename, waiting.value.path().read_bytes())
    with service.client() as client:
        answer = client.post("/v1/poses", files={"image": photos[0].read_bytes()}).json()
    assert json.loads(saved["JSON"][1]) == answer
    rows = list(csv.DictReader(io.StringIO(saved["CSV"][1].decode())))
    assert len(rows) == 2 * 17
    assert (rows[0]["file"], rows[0]["keypoint"]) == ("two people.png", "nose")
    assert float(rows[0]["x"]) == answer["people"][0]["keypoints"]["nose"][0]
    assert saved["picture"][0] == "two people-poses.png"
    assert saved["picture"][1].startswith(b"\x89PNG")


def test_files_that_are_no_images(open_page, tmp_path):
    page = open_page()
    expect_text(page, "#status", "Ready")
    (tmp_path / "note.png").write_text("a note")
    page.set_input_files("#files", tmp_path / "note.png")
    expect_text(page, "article .error", "the image is not a JPEG")
    page.problems.clear()  # the browser reports the status 415 on its console


def test_dropping_a_photo(open_page, photos):
    page = open_page()
    expect_text(page, "#status", "Ready")
    content = list(photos[0].read_bytes())
    page.evaluate(
        """(content) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(content)], "dropped.png", { type: "image/png" }));
            const drop = (kind) => document.getElementById("drop").dispatchEvent(
                new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
            drop("dragover"); drop("drop");
        }""",
        content,
    )
    expect_text(page, "article .hint", "2 people")


def test_the_webcam(open_page, screenshot):
    page = open_page()
    expect_text(page, "#status", "Ready")
    page.get_by_role("button", name="Use the webcam").click()
    expect_text(page, "article .hint", "2 people")
    page.wait_for_function("() => /[0-9.]+ frames a second/.test(document.querySelector('article .hint').textContent)")
    screenshot(page, "webcam")
    page.get_by_role("button", name="Stop").click()
    expect_text(page, "#status", "webcam:")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save JSON: webcam").click()
    frames = json.loads(waiting.value.path().read_bytes())
    last = [person["id"] for person in frames[-1]["answer"]["people"]]
    assert len(set(last)) == 2


def test_the_keyboard_alone(open_page, photos):
    page = open_page()
    expect_text(page, "#status", "Ready")
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached[:6] == ["Skip to the results", "files", "webcam", "model", "skeleton", "threshold"]
    page.locator("#threshold").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#threshold-value").inner_text() == "0.005"
    with page.expect_file_chooser() as chooser:
        page.locator("#files").focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(photos)
    expect_text(page, "#status", "in 2 photos")


def test_every_control_has_a_name_and_the_page_has_landmarks(open_page, photos):
    page = open_page()
    choose(page, photos)
    unnamed = page.locator("button:visible, select, input:visible, canvas, a").evaluate_all(
        """all => all.filter((one) => !(one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim()))
            .map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator("main").count() == page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("#status").get_attribute("aria-live") == "polite"


CONTRAST = """() => {
    const parse = (text) => text.match(/[0-9.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 :
        ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
    const back = (one) => { const c = parse(getComputedStyle(one).backgroundColor);
        return c.length === 4 && c[3] === 0 ? (one.parentElement ? back(one.parentElement) : [255, 255, 255]) : c; };
    return [...document.querySelectorAll("p, h1, h2, h3, label, button, .button, a, output, td, summary")]
        .filter((one) => one.textContent.trim() && one.checkVisibility()).map((one) => {
            const [a, b] = [luminance(parse(getComputedStyle(one).color)), luminance(back(one))].sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), one.outerHTML.slice(0, 80)]; }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_light_and_dark_on_desktop_and_phone(open_page, photos, screenshot, scheme, device):
    page = open_page(color_scheme=scheme, **(PHONE if device == "phone" else {}))
    choose(page, photos)
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    if device == "phone":
        heights = page.locator("button:visible, .button, select").evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect().height)"
        )
        assert min(heights) >= 40
    screenshot(page, f"{device}-{scheme}")


def test_a_service_with_tokens(open_page, photos, tmp_path):
    model = tmp_path / "stand_in.onnx"
    write_model(model)
    (tmp_path / "tokens").write_text("a-token-of-enough-length")
    with running("-m", model, "--threads", 1, "--token-file", tmp_path / "tokens") as guarded:
        page = open_page(url=guarded.url)
        expect_text(page, "#status", "needs an access token")
        page.get_by_label("Access token").fill("a-token-of-enough-length")
        page.keyboard.press("Enter")
        page.locator("#token").blur()
        choose(page, photos)
        page.get_by_role("button", name="Use the webcam").click()
        expect_text(page, "article .hint", "2 people,")
        page.get_by_role("button", name="Stop").click()
        expect_text(page, "#status", "webcam:")


def test_the_api_page(open_page, screenshot):
    page = open_page("/docs")
    expect_text(page, "h2", "POST /v1/poses")
    assert page.get_by_text("min_score").first.is_visible()
    screenshot(page, "api")
