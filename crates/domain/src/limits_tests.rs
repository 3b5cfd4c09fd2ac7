use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOON: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn quota(text: &str) -> Quota {
    text.parse().unwrap()
}

fn quotas() -> impl Strategy<Value = Quota> {
    (1_u32..5_000, 1_i64..86_400)
        .prop_map(|(count, seconds)| Quota::new(count, Duration::seconds(seconds)).unwrap())
}

#[test]
fn quotas_are_read_and_printed() {
    for (text, count, seconds) in
        [("20/10m", 20, 600), ("1/1s", 1, 1), ("5/90s", 5, 90), ("1000000/24h", 1_000_000, 86_400)]
    {
        let quota = quota(text);
        assert_eq!((quota.count(), quota.window()), (count, Duration::seconds(seconds)));
        assert_eq!(quota.to_string(), text);
    }
    assert_eq!(quota(" 3 / 60m "), quota("3/1h"));
    for wrong in [
        "",
        "/",
        "20",
        "20/",
        "/10m",
        "0/1m",
        "1/0s",
        "1/25h",
        "1000001/1s",
        "-1/1m",
        "1/1d",
        "1/mm",
        "1/1",
        "1/1é",
        "x/1m",
    ] {
        assert_eq!(wrong.parse::<Quota>(), Err(NotAQuota), "{wrong}");
    }
}

#[test]
fn a_household_is_one_network() {
    let network = |text: &str| Network::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
    assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    assert_eq!(network("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
    assert_eq!(network("192.0.2.1").to_string(), "192.0.2.1");
}

#[test]
fn the_longest_refusal_counts() {
    let refused = |rule, seconds| Admission::Refused { rule, wait: Duration::seconds(seconds) };
    let (short, long) = (refused(Rule::PaymentsPerOrder, 1), refused(Rule::DeclinesPerOrder, 9));
    for (one, other, both) in [
        (Admission::Admitted, Admission::Admitted, Admission::Admitted),
        (short, Admission::Admitted, short),
        (Admission::Admitted, short, short),
        (short, long, long),
        (long, short, long),
    ] {
        assert_eq!(one.and(other), both);
    }
}

#[test]
fn where_each_counts_for_the_whole_time_the_oldest_that_fills_it_ends_the_wait() {
    let quota = quota("3/1m");
    let ago = |seconds: &[i64]| -> Vec<_> { seconds.iter().map(|s| NOON - Duration::seconds(*s)).collect() };
    for (moments, wait) in
        [(ago(&[]), None), (ago(&[1, 2]), None), (ago(&[1, 2, 60]), None), (ago(&[1, 2, 40, 50]), Some(20))]
    {
        assert_eq!(quota.wait(moments.into_iter(), NOON), wait.map(Duration::seconds));
    }
}

/// Covers: fault 121.
#[test]
fn the_breaker_opens_at_many_and_closes_at_few() {
    let breaker = Breaker { declines: quota("10/10m"), percent: 60 };
    let lately = |declined, paid| Lately { declined, paid, few_in: Duration::ZERO };
    for (was_open, declined, paid, is_open) in [
        (false, 9, 0, false),
        (false, 10, 0, true),
        // Many are declined, and many more are paid: a good day.
        (false, 10, 7, false),
        (false, 12, 8, true),
        (true, 6, 0, true),
        (true, 5, 0, false),
        (true, 6, 5, false),
        (true, 0, 0, false),
        (false, 0, 0, false),
    ] {
        assert_eq!(breaker.is_open(was_open, lately(declined, paid)), is_open, "{declined} of {paid}");
    }
    let least = Breaker { declines: quota("1/10m"), percent: 0 };
    assert!(least.is_open(false, lately(1, 100)) && !least.is_open(true, lately(0, 0)));
}

#[test]
fn tightened_limits_are_less_for_shoppers_and_the_same_for_the_shop() {
    let all = Some(quota("20/10m"));
    let limits = Limits {
        payments_per_address: all,
        payments_per_order: Some(quota("4/1h")),
        payments_per_key: all,
        bad_keys_per_address: all,
        ..Limits::default()
    };
    let tight = limits.tightened();
    assert_eq!(tight.quota(Rule::PaymentsPerAddress), Some(quota("4/10m")));
    assert_eq!(tight.quota(Rule::PaymentsPerOrder), Some(quota("1/1h")), "one is always left");
    assert_eq!(tight.quota(Rule::PaymentsPerKey), all);
    assert_eq!(tight.quota(Rule::BadKeysPerAddress), all);
    assert_eq!(tight.quota(Rule::DeclinesPerOrder), None, "what is off stays off");
}

proptest! {
    /// Whoever comes at whatever times: never more at once than the quota, and in no time more than the quota and what came
    /// back meanwhile; whoever waits as told is admitted, and not much earlier.
    ///
    /// Covers: fault 121.
    #[test]
    fn a_meter_keeps_its_quota(quota in quotas(), gaps in prop::collection::vec(0_i64..100_000_000, 1..200)) {
        let (mut now, mut meter) = (NOON, Meter::unused(NOON));
        let mut admitted = Vec::new();
        for gap in gaps {
            now += Duration::microseconds(gap);
            if meter.room(quota, now) > 0 {
                prop_assert_eq!(meter.wait(quota, now), Duration::ZERO);
                meter = meter.after(1, quota, now);
                admitted.push(now);
            } else {
                let wait = meter.wait(quota, now);
                prop_assert!(wait.is_positive() && wait <= quota.pace());
                prop_assert!(meter.room(quota, now + wait) == 1);
                prop_assert!(meter.room(quota, now + wait - Duration::MICROSECOND) == 0);
            }
        }
        for (first, from) in admitted.iter().enumerate() {
            let within = |time: Duration| admitted[first..].iter().filter(|at| **at - *from < time).count();
            prop_assert!(within(Duration::MICROSECOND) <= quota.count() as usize);
            prop_assert!(within(quota.window()) <= 2 * quota.count() as usize);
        }
    }

    /// Taking many at once is taking one after the other.
    #[test]
    fn many_at_once_are_one_after_the_other(quota in quotas(), before in 0_u32..5_000, wanted in 1_u32..5_000) {
        let meter = Meter::unused(NOON).after(before.min(quota.count()), quota, NOON);
        let taken = meter.room(quota, NOON).min(wanted);
        let mut single = meter;
        for _ in 0..taken {
            prop_assert!(single.room(quota, NOON) > 0);
            single = single.after(1, quota, NOON);
        }
        prop_assert_eq!(meter.after(taken, quota, NOON), single);
        prop_assert!(taken == wanted || single.room(quota, NOON) == 0);
    }

    /// A tightened quota never admits more than the one it was.
    #[test]
    fn tightening_never_gives_more(quota in quotas(), used in 0_u32..5_000) {
        let meter = Meter::unused(NOON).after(used.min(quota.count()), quota, NOON);
        prop_assert!(meter.room(quota.tightened(), NOON) <= meter.room(quota, NOON));
    }
}
