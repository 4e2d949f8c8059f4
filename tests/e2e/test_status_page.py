"""The status page, as a browser shows it: on a desk, on a phone, by keyboard, with the server's own header fields."""

import contextlib
import http.client
import http.server
import os
import pathlib
import re
import socket
import threading

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from appliance import running
from test_locked import locked

SHOTS = os.environ.get("SKMS_SCREENSHOTS")  # a directory that pictures are left in, for people
DESK, PHONE = (1280, 900), (360, 740)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def page(appliance):
    """(status, header fields, text)"""
    connection = UnixConnection(appliance.directory / "admin.sock")
    connection.request("GET", "/status")
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read().decode()


@contextlib.contextmanager
def served(appliance):
    """A browser takes no unix socket: what the daemon answers, unchanged, on a port of this host."""
    asked = []

    class Relay(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, fields, text = page(appliance) if self.path == "/status" else (404, {}, "")
            self.send_response(status)
            for name, value in fields.items():
                if name.lower() not in ("connection", "keep-alive", "transfer-encoding"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/status", asked
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def browser(size, dark=False):
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                     *(("--force-dark-mode", "--blink-settings=preferredColorScheme=0") if dark else ())):
        options.add_argument(argument)
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=webdriver.chrome.service.Service("/usr/bin/chromedriver"), options=options)
    try:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE})
        yield driver
    finally:
        driver.quit()


def shoot(driver, name):
    if SHOTS is None:
        return
    height = driver.execute_script("return document.documentElement.scrollHeight")
    width = driver.execute_script("return document.documentElement.clientWidth")
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
    driver.save_screenshot(str(pathlib.Path(SHOTS) / f"{name}.png"))


@pytest.fixture(scope="module")
def appliance(tmp_path_factory):
    with running(tmp_path_factory.mktemp("page")) as appliance:
        for user in range(5):
            appliance.key(f"val-service-id=s&valUserId=<b>u{user}</b>")
        assert appliance.get("val-service-id=t").status == 404
        assert appliance.get("val-service-id=nothing").status == 404
        yield appliance


def cell(driver, section, row):
    return driver.find_element(By.XPATH, f"//section[h2='{section}']//tr[th='{row}']/td").text


def test_it_shows_what_is_so(appliance):
    with served(appliance) as (url, asked), browser(DESK) as driver:
        driver.get(url)
        assert driver.find_element(By.CSS_SELECTOR, ".state").text == "operational"
        assert cell(driver, "Tokens", "skms").startswith("serving")
        assert cell(driver, "Key versions", "active") == "5"
        assert cell(driver, "Rotation", "due now") == "0"
        assert int(cell(driver, "Audit chain", "entries").replace(",", "")) > 10
        assert cell(driver, "Certificates and CRLs", "listen.certificate").startswith("ends in ")
        requests = driver.find_element(By.XPATH, "//section[h2='Requests for keys']")
        assert [one.text.split()[0] for one in requests.find_elements(By.CSS_SELECTOR, ".legend li")] == ["answered", "refused", "failed"]
        assert [figure.get_attribute("role") for figure in driver.find_elements(By.CSS_SELECTOR, "figure > svg")] == ["img"] * 3
        shoot(driver, "desk")
        # Nothing was asked for but the page (and the picture that every browser asks for), nothing was refused by its policy.
        assert set(asked) <= {"/status", "/favicon.ico"}
        assert [entry for entry in driver.get_log("browser") if "favicon" not in entry["message"]] == []


def test_its_policy_lets_its_style_in_and_nothing_else(appliance):
    status, fields, text = page(appliance)
    assert status == 200 and fields["Content-Type"] == "text/html; charset=utf-8" and fields["Cache-Control"] == "no-store"
    policy = fields["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert "<script" not in text and not re.search(r"\son\w+=", text) and not re.search(r"""(?:href|src)=["'](?!["'])""", text)
    assert "<b>u" not in text and "u0" not in text  # no user, whoever
    with served(appliance) as (url, _), browser(DESK) as driver:
        driver.get(url)
        assert driver.execute_script("return getComputedStyle(document.querySelector('section')).borderTopWidth") == "1px"
        driver.execute_script("const s = document.createElement('style'); s.textContent = 'h1{color:red}'; document.head.append(s)")
        assert driver.execute_script("return getComputedStyle(document.querySelector('h1')).color") != "rgb(255, 0, 0)"
        assert "Content Security Policy" in "".join(entry["message"] for entry in driver.get_log("browser"))


def test_it_fits_a_phone(appliance):
    with served(appliance) as (url, _), browser(PHONE) as driver:
        driver.get(url)
        assert driver.execute_script("return window.innerWidth") == PHONE[0]
        for summary in driver.find_elements(By.TAG_NAME, "summary"):
            summary.send_keys(Keys.ENTER)
        wide = driver.execute_script("return [...document.querySelectorAll('body *')].filter(e => !e.matches('.scroll *') && e.getBoundingClientRect().right > innerWidth + 1)"
                                     ".map(e => e.tagName + '.' + e.className)")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE[0] and wide == [], wide
        small = driver.execute_script("return [...document.querySelectorAll('body *')].filter(e => e.childNodes.length && parseFloat(getComputedStyle(e).fontSize) < 12)"
                                      ".map(e => e.tagName)")
        assert small == []
        shoot(driver, "phone")


def test_trouble_fits_a_phone_too(appliance, tmp_path):
    """Words without an end are broken: in reasons, labels, errors."""
    long = "x" * 120
    text = page(appliance)[2]
    text = text.replace("skms-test", long).replace("<p><span class=\"state good\">", f"<ul><li>{long}</li></ul><p><span class=\"state bad\">", 1)
    text = text.replace("listen.certificate", f"listen_ue.{long}").replace("serving", f"lost: {long}")
    (tmp_path / "page.html").write_text(text)
    with browser(PHONE) as driver:
        driver.get((tmp_path / "page.html").as_uri())
        assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
        shoot(driver, "trouble")


def test_it_is_used_by_keyboard(appliance):
    with served(appliance) as (url, asked), browser(DESK) as driver:
        driver.get(url)
        reached = []
        for _ in range(6):  # each table's summary, and what it opens
            driver.switch_to.active_element.send_keys(Keys.TAB)
            element = driver.switch_to.active_element
            reached.append(element.tag_name)
            if element.tag_name == "summary":
                assert driver.execute_script("return getComputedStyle(arguments[0]).outlineStyle", element) == "solid"
                element.send_keys(Keys.ENTER)
                assert element.find_element(By.XPATH, "..").get_attribute("open") is not None
        assert reached.count("summary") == 3 and reached.count("div") == 3  # and what they open can be scrolled
        assert asked.count("/status") == 1


def test_its_numbers_are_the_requests(tmp_path):
    """In a minute of its own: the server has just been started."""
    with running(tmp_path) as appliance:
        for user in range(5):
            appliance.key(f"val-service-id=s&valUserId=u{user}")
        for _ in range(2):
            assert appliance.get("val-service-id=nothing").status == 404
        rows = re.search(r"<h2>Requests for keys</h2>.*?<tbody>(.*?)</tbody>", page(appliance)[2], re.S)[1]
        numbers = [[int(one) for one in re.findall(r'<td class="n">(\d+)</td>', row)] for row in rows.split("</tr>") if row]
        assert [sum(column) for column in zip(*numbers)] == [5, 2, 0]


def contrast(driver, selector):
    """Of a text's colour against the page's ground (WCAG 2.1)."""
    def luminance(rgb):
        channels = [int(c) / 255 for c in re.findall(r"\d+", rgb)[:3]]
        channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]

    ink = driver.execute_script("return getComputedStyle(document.querySelector(arguments[0])).color", selector)
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    bright, dark = sorted((luminance(ink), luminance(ground)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_can_be_read_by_day_and_by_night(appliance, dark):
    with served(appliance) as (url, _), browser(DESK) as driver:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        driver.get(url)
        for selector in ("body", ".state", ".good", ".soft", ".axis"):
            assert contrast(driver, selector) >= 4.5, selector
        shoot(driver, "dark" if dark else "light")


def test_trouble_is_seen_at_once(tmp_path):
    with running(tmp_path, audit__warn_free_mib=1000000000) as appliance:
        _, _, text = page(appliance)
        assert "degraded" in text and "MiB left" in text and 'class="state bad"' in text


def test_the_command_writes_it_for_a_browser(appliance, tmp_path):
    out = appliance.ctl("page", "--to", tmp_path / "status.html")
    assert "open it with a browser" in out
    with browser(DESK) as driver:
        driver.get((tmp_path / "status.html").as_uri())
        assert driver.find_element(By.CSS_SELECTOR, ".state").text == "operational"
    assert appliance.ctl("page", "--to", "-").startswith("<!DOCTYPE html>")
    failed = appliance.try_ctl("page", "--to", tmp_path / "nowhere" / "x")
    assert failed.returncode == 3 and "nowhere" in failed.stderr


def test_a_locked_server_says_that_it_is(tmp_path):
    with locked(tmp_path) as appliance:
        status, _, text = page(appliance)
        assert status == 200 and ">locked<" in text and "skmsctl unlock" in text and "<main" not in text
