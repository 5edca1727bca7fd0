//! The instances that were asked for, and what belongs to them.

use crate::control::protocol::Status;

/// Leaves out all other instances; none named is all.
///
/// # Errors
/// A name that there is not, with the nearest and all that there are.
pub(in crate::cli) fn only(status: &mut Status, names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Ok(());
    }
    let there: Vec<String> = status.instances.iter().map(|instance| instance.name.clone()).collect();
    if let Some(name) = names.iter().find(|name| !there.contains(*name)) {
        return Err(no_such(name, &there));
    }
    status.instances.retain(|instance| names.contains(&instance.name));
    let Status { instances, groups, interfaces, .. } = status;
    groups.retain(|group| group.members.iter().any(|member| names.contains(&member.name)));
    interfaces.retain(|interface| instances.iter().any(|instance| instance.interface == interface.name));
    Ok(())
}

/// `there is no instance VI_l; did you mean VI_1? There are VI_1, VI_2`.
fn no_such(name: &str, there: &[String]) -> String {
    let similar = |other: &&String| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let nearest =
        there.iter().min_by_key(similar).filter(|other| similar(other) <= 1 + name.chars().count() / 3);
    let guess = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
    let list = match there {
        [] => " The daemon runs none".to_owned(),
        _ => format!(" There are: {}", there.join(", ")),
    };
    format!("there is no instance {name}{}{list}", if guess.is_empty() { "." } else { &guess })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{InstanceStatus, InterfaceStatus};

    fn sample() -> Status {
        let instance = |name: &str, interface: &str| InstanceStatus {
            name: name.to_owned(),
            interface: interface.to_owned(),
            ..InstanceStatus::default()
        };
        let interface = |name: &str| InterfaceStatus { name: name.to_owned(), ..InterfaceStatus::default() };
        Status {
            instances: vec![instance("VI_1", "eth0"), instance("VI_2", "eth1")],
            interfaces: vec![interface("eth0"), interface("eth1")],
            ..Status::default()
        }
    }

    #[test]
    fn what_belongs_to_the_others_is_left_out() {
        let mut status = sample();
        assert_eq!(only(&mut status, &["VI_2".to_owned()]), Ok(()));
        assert_eq!(status.instances.len(), 1);
        assert_eq!(status.interfaces.first().map(|interface| &*interface.name), Some("eth1"));
        let mut all = sample();
        assert_eq!(only(&mut all, &[]), Ok(()));
        assert_eq!(all, sample());
    }

    #[test]
    fn a_name_that_there_is_not_is_answered_with_those_that_there_are() {
        let said = |name: &str| only(&mut sample(), &[name.to_owned()]);
        let wrong = Err("there is no instance VI_3; did you mean VI_1? There are: VI_1, VI_2".to_owned());
        assert_eq!(said("VI_3"), wrong);
        assert_eq!(said("gateway"), Err("there is no instance gateway. There are: VI_1, VI_2".to_owned()));
        let none = only(&mut Status::default(), &["VI_1".to_owned()]);
        assert_eq!(none, Err("there is no instance VI_1. The daemon runs none".to_owned()));
    }
}
