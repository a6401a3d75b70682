//! A headless Chromium with a profile of its own, and what tests do with it.

use std::{fmt::Write as _, fs, net::SocketAddr, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fantoccini::{
    Client, ClientBuilder, Locator,
    elements::Element,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

use crate::{
    chromedriver::{self, installed},
    support::app::{COOKIE, Started},
};

/// How long a page may take to do what a test waits for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The sizes at which pages are looked at: a laptop's and a phone's.
pub(crate) const SIZES: [(u32, u32); 2] = [(1280, 900), (390, 844)];

/// One browser; nobody else has its cookies.
pub(crate) struct Browser {
    client: Client,
    origin: String,
    width: u32,
    dark: bool,
    _profile: TempDir,
}

impl Browser {
    /// A browser on an empty page, 1280 pixels wide. Take a place for it first ([`chromedriver::places`]).
    pub(crate) async fn open(front: SocketAddr) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut arguments = vec![
            "--headless".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
            // The browser ends when its driver does, however that ends.
            "--remote-debugging-pipe".to_owned(),
            "--no-proxy-server".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--force-color-profile=srgb".to_owned(),
            "--lang=en-GB".to_owned(),
        ];
        if nix::unistd::geteuid().is_root() {
            arguments.push("--no-sandbox".to_owned());
        }
        let mut capabilities = Capabilities::new();
        capabilities.insert("browserName".to_owned(), "chrome".into());
        let binary = installed("chromium", "chromium");
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "binary": binary, "args": arguments }));
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(chromedriver::url().await).await;
        let client = client.unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        let mut browser = Self { client, origin: format!("http://{front}"), width: 0, dark: false, _profile: profile };
        browser.resize(SIZES[0]).await;
        browser
    }

    /// Closes the window and everything of it.
    pub(crate) async fn close(self) {
        self.client.close().await.unwrap();
    }

    /// Opens a path of the site, or another URL.
    pub(crate) async fn goto(&self, place: &str) {
        let url = if place.starts_with('/') { format!("{}{place}", self.origin) } else { place.to_owned() };
        self.client.goto(&url).await.unwrap();
    }

    /// Loads the page again, as a person would.
    pub(crate) async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// The path of the page, with its query.
    pub(crate) async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// The value of a JavaScript expression in the page.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.client.execute(&format!("return ({expression});"), Vec::new()).await.unwrap()
    }

    /// The text of the page that people see.
    pub(crate) async fn text(&self) -> String {
        self.value("document.body.innerText").await.as_str().unwrap().to_owned()
    }

    /// Waits until a JavaScript expression is true in the page, whatever page that is by then.
    pub(crate) async fn wait_until(&self, expression: &str) {
        let script = format!("return Boolean({expression});");
        let holds = async {
            // While one page makes way for another there is nothing to ask.
            while !matches!(self.client.execute(&script, Vec::new()).await, Ok(Value::Bool(true))) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let held = tokio::time::timeout(PATIENCE, holds).await.is_ok();
        assert!(held, "not within 10 s: {expression}\non {}:\n{}", self.path().await, self.text().await);
    }

    /// Waits until the page at this path (without query) is there as a whole.
    pub(crate) async fn wait_for_page(&self, path: &str) {
        self.wait_until(&format!("location.pathname === {path:?} && document.readyState === 'complete'")).await;
    }

    /// Waits until the page shows this text.
    pub(crate) async fn wait_for_text(&self, text: &str) {
        self.wait_until(&format!("document.body.innerText.includes({text:?})")).await;
    }

    /// The first element that a CSS selector finds.
    pub(crate) async fn find(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Clicks on the first element that a CSS selector finds.
    pub(crate) async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Types into a field, instead of what is there.
    pub(crate) async fn type_into(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses keys with the focus where it is.
    pub(crate) async fn press(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// What has the focus: its id, or the name of its tag.
    pub(crate) async fn focus(&self) -> String {
        let found = self.value("document.activeElement.id || document.activeElement.tagName.toLowerCase()").await;
        found.as_str().unwrap().to_owned()
    }

    /// Gives the window another size.
    pub(crate) async fn resize(&mut self, (width, height): (u32, u32)) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.command("Emulation.setDeviceMetricsOverride", metrics).await;
        self.width = width;
    }

    /// Lets the person prefer dark pages, or light ones.
    pub(crate) async fn prefer_dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.command("Emulation.setEmulatedMedia", media).await;
        self.dark = dark;
    }

    /// Forbids the scripts of pages. Tests can still look into the page.
    pub(crate) async fn without_scripts(&self) {
        self.command("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// Puts a session's cookie into the browser, as an application does that has signed somebody in itself.
    pub(crate) async fn give(&self, session: &Started) {
        let cookie = json!({
            "name": COOKIE, "value": session.token, "url": self.origin, "path": "/",
            "secure": true, "httpOnly": true, "sameSite": "Lax",
        });
        let answer = self.command("Network.setCookie", cookie).await;
        assert_eq!(answer["success"], true, "the browser does not take the cookie");
    }

    /// The cookies that this browser keeps for the page, those that scripts cannot see included.
    pub(crate) async fn cookies(&self) -> Vec<Value> {
        let answer = self.command("Network.getCookies", json!({})).await;
        answer["cookies"].as_array().unwrap().clone()
    }

    /// Looks at the page at both sizes, light and dark: nothing wider than the window, no finding of axe-core, and a picture of each.
    pub(crate) async fn inspect(&mut self, name: &str) {
        for dark in [false, true] {
            self.prefer_dark(dark).await;
            for size in SIZES {
                self.resize(size).await;
                self.fits(name).await;
                self.is_accessible(name).await;
                self.picture(name).await;
            }
        }
        self.prefer_dark(false).await;
        self.resize(SIZES[0]).await;
    }

    async fn fits(&self, name: &str) {
        let wide = self.value("document.documentElement.scrollWidth").await.as_u64().unwrap();
        assert!(wide <= self.width.into(), "{name} is {wide} wide in a window of {}", self.width);
    }

    async fn is_accessible(&self, name: &str) {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/validators/node_modules/axe-core/axe.min.js");
        let source = fs::read_to_string(file).expect("axe-core: run npm install in tests/validators");
        if !self.value("'axe' in window").await.as_bool().unwrap() {
            self.client.execute(&source, Vec::new()).await.unwrap();
        }
        // Colours that are still on their way to others would be measured half-way.
        let run = "const done = arguments[arguments.length - 1];
            for (const animation of document.getAnimations()) { try { animation.finish(); } catch { animation.cancel(); } }
            axe.run(document, { resultTypes: ['violations'] })
                .then((found) => done(found.violations), (error) => done([{ id: String(error), nodes: [] }]));";
        let found = self.client.execute_async(run, Vec::new()).await.unwrap();
        let mut report = String::new();
        for rule in found.as_array().unwrap() {
            let _ = writeln!(report, "{}: {} ({})", rule["id"], rule["help"], rule["helpUrl"]);
            for node in rule["nodes"].as_array().into_iter().flatten() {
                let _ = writeln!(report, "    {}\n        {}", node["html"], node["failureSummary"]);
            }
        }
        assert!(report.is_empty(), "axe-core on {name}, {} wide, dark: {}:\n{report}", self.width, self.dark);
    }

    /// Keeps a picture of the whole page as `target/screenshots/{name}-{width}{-dark}.png`.
    pub(crate) async fn picture(&self, name: &str) {
        let layout = self.command("Page.getLayoutMetrics", json!({})).await;
        let size = &layout["cssContentSize"];
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let parameters = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let answer = self.command("Page.captureScreenshot", parameters).await;
        let picture = STANDARD.decode(answer["data"].as_str().unwrap()).unwrap();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screenshots");
        fs::create_dir_all(&folder).unwrap();
        let dark = if self.dark { "-dark" } else { "" };
        fs::write(folder.join(format!("{name}-{}{dark}.png", self.width)), picture).unwrap();
    }

    /// A command of the Chrome `DevTools` Protocol.
    async fn command(&self, name: &'static str, parameters: Value) -> Value {
        let answer = self.client.issue_cmd(DevTools { name, parameters }).await;
        answer.unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// A command of the Chrome `DevTools` Protocol, as chromedriver passes it on.
#[derive(Debug)]
struct DevTools {
    name: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "cmd": self.name, "params": self.parameters }).to_string()))
    }
}
