//! The words of the lines that hold an address, a route or a rule.

use super::declare::words;
use super::{Row, Status, ValueKind, Words, gather};
use crate::config::model;

words! {
    /// Options of an address.
    Address {
        done {
            Autojoin = "autojoin": Flag => Vip.autojoin;
            Brd = "brd": Text => Vip.broadcast;
            Broadcast = "broadcast": Text => Vip.broadcast;
            Dev = "dev": Interface => Vip.device;
            Home = "home": Flag => Vip.home;
            Label = "label": Text => Vip.label;
            Mngtmpaddr = "mngtmpaddr": Flag => Vip.mngtmpaddr;
            NoTrack = "no_track": Flag => Vip.no_track;
            Nodad = "-nodad": Flag;
            Noprefixroute = "noprefixroute": Flag => Vip.noprefixroute;
            Peer = "peer": Text => Vip.peer;
            PreferredLft = "preferred_lft": Text => Vip.preferred_lft;
            Scope = "scope": Text => Vip.scope;
            TrackGroup = "track_group": Text => Vip.track_group;
            UseVmac = "use_vmac": Flag => Vip.vmac;
        }
    }

    /// Words of a route.
    Route {
        with {
            RouteHop;
            RouteMetric;
            RouteType;
        }
        done {
            Append = "append": Flag => Route.append;
            Congctl = "congctl": Text => RouteMetrics.congctl;
            Dsfield = "dsfield": Text => Route.tos;
            Expires = "expires": Number => Route.expires;
            Features = "features": Optional => RouteMetrics.ecn;
            From = "from": Address => Route.from;
            Inet = "inet": Flag => Route.family;
            Inet6 = "inet6": Flag => Route.family;
            Metric = "metric": Number => Route.metric;
            Nexthop = "nexthop": Flag => Route.hops;
            NoTrack = "no_track": Flag => Route.no_track;
            Or = "or": Address => Route.hops;
            Pref = "pref": Text => Route.preference;
            Preference = "preference": Number => Route.metric;
            Priority = "priority": Number => Route.metric;
            Protocol = "protocol": Text => Route.protocol;
            Scope = "scope": Text => Route.scope;
            Src = "src": Address => Route.source;
            Table = "table": Text => Route.table;
            To = "to": Address => Route.to;
            Tos = "tos": Text => Route.tos;
            TrackGroup = "track_group": Text => Route.track_group;
            TtlPropagate = "ttl-propagate": Text => Route.ttl_propagate;
            Vrf = "vrf": Interface => Route.vrf;
        }
    }

    /// Words of one way of a route.
    RouteHop {
        done {
            Dev = "dev": Interface => NextHop.device;
            Encap = "encap": Several => NextHop.encap;
            Gw = "gw": Address => NextHop.via;
            Oif = "oif": Interface => NextHop.device;
            Onlink = "onlink": Flag => NextHop.onlink;
            Pervasive = "pervasive": Flag => NextHop.pervasive;
            Realms = "realms": Text => NextHop.realms, Route.realms;
            Via = "via": Address => NextHop.via;
            Weight = "weight": Number => NextHop.weight;
        }
    }

    /// Path metrics of a route.
    RouteMetric {
        done {
            Advmss = "advmss": Number => RouteMetrics.values;
            Cwnd = "cwnd": Number => RouteMetrics.values;
            FastopenNoCookie = "fastopen_no_cookie": Number => RouteMetrics.values;
            Hoplimit = "hoplimit": Number => RouteMetrics.values;
            Initcwnd = "initcwnd": Number => RouteMetrics.values;
            Initrwnd = "initrwnd": Number => RouteMetrics.values;
            Mtu = "mtu": Number => RouteMetrics.values;
            Quickack = "quickack": Number => RouteMetrics.values;
            Reordering = "reordering": Number => RouteMetrics.values;
            RtoMin = "rto_min": Time => RouteMetrics.values;
            Rtt = "rtt": Time => RouteMetrics.values;
            RttVar = "rttvar": Time => RouteMetrics.values;
            Ssthresh = "ssthresh": Number => RouteMetrics.values;
            Window = "window": Number => RouteMetrics.values;
        }
    }

    /// Types of a route.
    RouteType {
        done {
            Anycast = "anycast": Flag => Route.kind;
            Blackhole = "blackhole": Flag => Route.kind;
            Brd = "brd": Flag => Route.kind;
            Broadcast = "broadcast": Flag => Route.kind;
            Local = "local": Flag => Route.kind;
            Multicast = "multicast": Flag => Route.kind;
            Nat = "nat": Flag => Route.kind;
            Prohibit = "prohibit": Flag => Route.kind;
            Throw = "throw": Flag => Route.kind;
            Unicast = "unicast": Flag => Route.kind;
            Unreachable = "unreachable": Flag => Route.kind;
        }
    }

    /// Words of a rule.
    Rule {
        with {
            RuleAction;
        }
        done {
            Dev = "dev": Interface => Rule.iif;
            Dport = "dport": Number => Rule.dport;
            Dsfield = "dsfield": Text => Rule.tos;
            From = "from": Address => Rule.from;
            Fwmark = "fwmark": Number => Rule.fwmark;
            Iif = "iif": Interface => Rule.iif;
            Inet = "inet": Flag => Rule.family;
            Inet6 = "inet6": Flag => Rule.family;
            IpProto = "ip_proto": Text => Rule.ip_proto;
            Ipproto = "ipproto": Text => Rule.ip_proto;
            NoTrack = "no_track": Flag => Rule.no_track;
            Not = "not": Flag => Rule.invert;
            Oif = "oif": Interface => Rule.oif;
            Order = "order": Number => Rule.priority;
            Preference = "preference": Number => Rule.priority;
            Priority = "priority": Number => Rule.priority;
            Protocol = "protocol": Text => Rule.protocol;
            Realms = "realms": Text => Rule.realms;
            Sport = "sport": Number => Rule.sport;
            SuppressIfgroup = "suppress_ifgroup": Text => Rule.suppress_ifgroup;
            SuppressPrefixlength = "suppress_prefixlength": Number => Rule.suppress_prefixlength;
            To = "to": Address => Rule.to;
            Tos = "tos": Text => Rule.tos;
            TrackGroup = "track_group": Text => Rule.track_group;
            TunId = "tun_id": Number => Rule.tun_id;
            Uidrange = "uidrange": Number => Rule.uidrange;
        }
    }

    /// What a rule does.
    RuleAction {
        done {
            Blackhole = "blackhole": Flag => Rule.action;
            Goto = "goto": Number => Rule.action;
            L3mdev = "l3mdev": Flag => Rule.action, Rule.l3mdev;
            Lookup = "lookup": Text => Rule.action;
            Nop = "nop": Flag => Rule.action;
            Prohibit = "prohibit": Flag => Rule.action;
            Table = "table": Text => Rule.action;
            Unreachable = "unreachable": Flag => Rule.action;
        }
    }
}
