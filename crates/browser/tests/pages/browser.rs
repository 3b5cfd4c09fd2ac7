//! A browser of its own for one test: ChromeDriver on a free port, Chromium with an empty profile.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use thirtyfour::{
    By, ChromeCapabilities, ChromiumLikeCapabilities as _, DesiredCapabilities, LoggingPrefsLogLevel,
    WebDriver, WebElement,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// A page may take its time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
const INSTALL: &str = "it needs a browser: apt-get update && apt-get install -y chromium chromium-driver";
/// Without these Chromium wants a display, its sandbox, and Google.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// How a browser differs from the usual one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kind {
    /// As wide as a small phone.
    pub(crate) phone: bool,
    /// Runs no scripts.
    pub(crate) scriptless: bool,
    /// Prefers dark colours.
    pub(crate) dark: bool,
}

/// A browser with one window.
pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
    kind: Kind,
    profile: tempfile::TempDir,
    _chromedriver: Child,
}

impl Browser {
    pub(crate) async fn open(kind: Kind) -> Self {
        let mut chromedriver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}; {INSTALL}"));
        let port = port(&mut chromedriver).await;
        let profile = tempfile::tempdir().unwrap();
        let driver =
            WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities(kind, profile.path())).await;
        let driver = driver.unwrap_or_else(|error| panic!("Chromium does not start: {error}; {INSTALL}"));
        Self { driver, kind, profile, _chromedriver: chromedriver }
    }

    /// Ends it, after a last look at what it had to complain about.
    pub(crate) async fn close(self) {
        let log = self.driver.browser_log().await.unwrap();
        // A declined card is answered with 402; and Stripe's page is not ours, so its icon is none of our business.
        let fine = |text: &str| {
            text.contains("status of 402") || text.contains("favicon.ico - ") && text.contains("401")
        };
        let complaints: Vec<_> = log.iter().map(|entry| &entry.message).filter(|text| !fine(text)).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        self.driver.clone().quit().await.unwrap();
    }

    pub(crate) async fn goto(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    pub(crate) async fn url(&self) -> String {
        self.driver.current_url().await.unwrap().to_string()
    }

    /// The first visible element.
    pub(crate) async fn element(&self, css: &str) -> WebElement {
        self.until(css, async || self.driver.find(By::Css(css)).await.ok()).await
    }

    pub(crate) async fn click(&self, css: &str) {
        self.element(css).await.click().await.unwrap();
    }

    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let field = self.element(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// All that can be read on the page.
    pub(crate) async fn text(&self) -> String {
        match self.driver.find(By::Tag("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until the page says something.
    pub(crate) async fn says(&self, what: &str) -> String {
        self.until(what, async || Some(self.text().await).filter(|text| text.contains(what))).await
    }

    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if begun.elapsed() > PATIENCE {
                panic!("no {what:?} at {}: {}", self.url().await, self.text().await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs a script on the page.
    pub(crate) async fn script(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// Takes a picture of the whole page, and checks what must hold of every page.
    pub(crate) async fn look(&self, name: &str) {
        if !self.kind.scriptless {
            let sizes = self.script("return [document.documentElement.scrollWidth, window.innerWidth]").await;
            assert!(sizes[0].as_i64() <= sizes[1].as_i64(), "{name} scrolls sideways: {sizes}");
            let nameless = self.script(NAMELESS).await;
            assert_eq!(nameless, json!([]), "{name}: not everything has a name for a screen reader");
        }
        let png = self.driver.screenshot_as_png().await.unwrap();
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(|target| target.join("screenshots")).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), png).unwrap();
    }
}

/// A test that failed has not told Chromium to end, and ChromeDriver is killed without doing so.
impl Drop for Browser {
    fn drop(&mut self) {
        let mark = format!("--user-data-dir={}", self.profile.path().display());
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let ours = command.split(|byte| *byte == 0).any(|argument| argument == mark.as_bytes());
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (true, Some(pid)) = (ours, pid) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// What a screen reader could not tell: fields without labels, buttons and links without text, a page without a
/// heading, a language or a title.
const NAMELESS: &str = "
    const bad = [];
    for (const one of document.querySelectorAll('input, select, textarea'))
        if (one.type !== 'hidden' && !one.labels.length && !one.ariaLabel) bad.push(one.outerHTML);
    for (const one of document.querySelectorAll('button, a'))
        if (!one.innerText.trim() && !one.ariaLabel) bad.push(one.outerHTML);
    if (document.querySelectorAll('h1').length !== 1) bad.push('one h1');
    if (!document.documentElement.lang) bad.push('lang');
    if (!document.title) bad.push('title');
    return bad;";

/// The port that ChromeDriver chose.
async fn port(chromedriver: &mut Child) -> u16 {
    let mut lines = BufReader::new(chromedriver.stdout.take().unwrap()).lines();
    let found = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, rest)) = line.split_once("started successfully on port ") {
                return rest.trim_end_matches('.').parse().unwrap();
            }
        }
        panic!("chromedriver ended; {INSTALL}")
    };
    let port = tokio::time::timeout(PATIENCE, found).await.expect("chromedriver says no port");
    // It must be able to write on.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    port
}

fn capabilities(kind: Kind, profile: &Path) -> ChromeCapabilities {
    let mut chrome = DesiredCapabilities::chrome();
    chrome.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
    for flag in FLAGS {
        chrome.add_arg(flag).unwrap();
    }
    chrome.add_arg(&format!("--user-data-dir={}", profile.display())).unwrap();
    if kind.dark {
        chrome.add_arg("--force-dark-mode").unwrap();
    }
    if let Some(chromium) = chromium() {
        chrome.set_binary(chromium.to_str().unwrap()).unwrap();
    }
    if kind.phone {
        let screen = json!({"width": 360, "height": 740, "pixelRatio": 2.0});
        chrome.add_experimental_option("mobileEmulation", json!({"deviceMetrics": screen})).unwrap();
    } else {
        chrome.add_arg("--window-size=1100,900").unwrap();
    }
    if kind.scriptless {
        let prefs = json!({"profile.managed_default_content_settings.javascript": 2});
        chrome.add_experimental_option("prefs", prefs).unwrap();
    }
    chrome
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|file| file.exists())
}
