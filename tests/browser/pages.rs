//! The pages of the public listener.

use crate::{browser::Browser, chromedriver::places, support::site::Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_a_problem_explains_it() {
    let _place = places(1).await;
    let site = Site::for_browsers("").await;
    let mut browser = Browser::open(site.front).await;
    browser.goto("/problems/no-session").await;
    browser.wait_for_text("There is no live session").await;
    browser.inspect("problem").await;
    browser.close().await;
}
