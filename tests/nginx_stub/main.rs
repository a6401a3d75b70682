//! The shipped nginx configuration in a real nginx, between a recording stub of the exchange, one of the application and one
//! of the public listener.
//!
//! The stub shows what the real service never does: redirects, floods, silence, dropped connections, answers without a
//! token. What a browser meets with the real service behind nginx is tested where that service is started.

#[cfg(test)]
mod client;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod passed;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod stub;
