//! The account that `ephemint dev` has for trying things out. Its password is no secret: never serve it off this machine.

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    domain::password::Password,
    service::accounts::{AccountError, Accounts, Attempt, LoginError},
};

/// Its name.
pub const NAME: &str = "demo";
/// Its password, which the walkthrough prints and the demo page shows.
pub const PASSWORD: &str = "paper boats on a quiet lake";

/// Why there is no demo account.
#[derive(Debug, thiserror::Error)]
pub enum DemoAccountError {
    /// It can be neither added nor given its password back.
    #[error("the demo account cannot be stored")]
    Account(#[from] AccountError),
    /// Nobody could say whether it is as it should be.
    #[error("the demo account cannot be checked")]
    Login(#[source] LoginError),
}

/// Adds the account; where it is there already but cannot sign in with [`PASSWORD`], it is mended.
///
/// # Errors
/// [`DemoAccountError`].
pub async fn ensure(accounts: &Accounts) -> Result<(), DemoAccountError> {
    let password = || Password::from(PASSWORD.to_owned());
    match accounts.add(NAME, None, password()).await {
        Err(AccountError::NameTaken) => {}
        added => return Ok(added.map(drop)?),
    }
    let attempt = Attempt { username: NAME, password: &password(), address: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    match accounts.authenticate(attempt).await {
        Ok(_) => Ok(()),
        Err(LoginError::Refused) => {
            accounts.set_password(NAME, password()).await?;
            accounts.enable(NAME).await?;
            Ok(())
        }
        Err(error) => Err(DemoAccountError::Login(error)),
    }
}
