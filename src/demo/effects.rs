//! Where the script of a test takes effect on the calls of the simulated vCenter: not in the program
//! that ships.

use super::faults::{Step, reply};
use super::script::Effect;
use super::shared::{Context, Shared};
use super::soap::{self, Call};
use crate::http::server::{Answer, Reply};

/// The reply in place of `vimServiceVersions.xml`, if it fails.
pub(super) fn at_versions(shared: &Shared) -> Option<Reply> {
    shared.lock().script.strike("vimServiceVersions").as_ref().and_then(instead)
}

/// Counts a call and answers it, unless it is one that fails.
pub(super) fn at_call<'r>(
    shared: &Shared,
    call: &Call,
    mut context: Context<'r>,
    answer: impl FnOnce(&Shared, &Call, &Context<'r>) -> Answer,
) -> Reply {
    let effect = strike(shared, call, &mut context);
    shared.count(call);
    if let Some(reply) = effect.as_ref().and_then(instead) {
        return reply;
    }
    let answer = answer(shared, call, &context);
    if let Some(Effect::Delay(time)) = effect {
        context.request.stop.wait(time);
    }
    afterwards(effect, answer)
}

/// The effect on this call; what it ends has ended.
fn strike(shared: &Shared, call: &Call, context: &mut Context<'_>) -> Option<Effect> {
    let mut state = shared.lock();
    let effect = state.script.strike(&call.method);
    match &effect {
        Some(Effect::EndSession) => state.end_session(&context.cookie),
        Some(Effect::EndAllSessions) => state.end_sessions(),
        Some(Effect::EndCollectors) => {
            if let Some(session) = state.sessions.get_mut(&context.cookie) {
                session.collectors.clear();
            }
        }
        Some(Effect::MissingSet(fault)) => context.missing = Some(fault.clone()),
        _ => {}
    }
    effect
}

/// The reply to a call that is not executed.
fn instead(effect: &Effect) -> Option<Reply> {
    Some(match effect {
        Effect::Fault(fault) => Reply::Answer(soap::http_answer(500, soap::fault_answer(fault))),
        Effect::Status(status) => Reply::Answer(Answer::new(*status, "text/html", starting_page(*status))),
        Effect::Garbage(body) => Reply::Answer(soap::http_answer(200, body.clone())),
        Effect::Hang(time) => reply(vec![Step::Pause(*time)]),
        _ => return None,
    })
}

/// The reply to a call that was executed.
fn afterwards(effect: Option<Effect>, mut answer: Answer) -> Reply {
    let head_bytes = answer.encode().len() - answer.body.len();
    reply(match effect {
        Some(Effect::Reset) => vec![Step::Reset],
        Some(Effect::Truncate(bytes)) => {
            let mut whole = answer.encode();
            whole.truncate(head_bytes + bytes);
            vec![Step::Send(whole)]
        }
        Some(Effect::Instead(body, encoding)) => {
            let answer = soap::http_answer(200, body);
            return Reply::Answer(match encoding {
                Some(encoding) => answer.header("Content-Encoding", encoding),
                None => answer,
            });
        }
        Some(Effect::Trickle(pause)) => vec![Step::Trickle { bytes: answer.encode(), pause }],
        Some(Effect::Inflate(bytes)) => {
            let length = answer.body.len().max(bytes);
            answer.body.resize(length, b' ');
            return Reply::Answer(answer);
        }
        _ => return Reply::Answer(answer),
    })
}

/// What the proxy in front of a vCenter says while the service behind it is down.
fn starting_page(status: u16) -> String {
    format!(
        "<html><head><title>{status}</title></head><body>{status} Service Unavailable (Failed to connect to endpoint: \
         _serverNamespace = /sdk _pipeName =/var/run/vmware/vpxd-webserver-pipe)</body></html>"
    )
}
