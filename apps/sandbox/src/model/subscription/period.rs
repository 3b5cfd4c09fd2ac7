//! Calendar arithmetic of billing periods.

use time::{Date, Month, OffsetDateTime};

use crate::model::price::Recurring;
use crate::model::time::DAY;

/// The end of a period that begins at `start`. Months keep the anchor's day where they have it.
pub(super) fn end(start: i64, anchor: i64, recurring: &Recurring) -> i64 {
    let count = recurring.interval_count.clamp(1, 1_000);
    match recurring.interval.as_str() {
        "day" => start + count * DAY,
        "week" => start + count * 7 * DAY,
        "year" => months_after(start, anchor, count * 12),
        _ => months_after(start, anchor, count),
    }
}

fn months_after(start: i64, anchor: i64, months: i64) -> i64 {
    let fallback = start + months * 30 * DAY;
    let (Ok(begin), Ok(anchor)) =
        (OffsetDateTime::from_unix_timestamp(start), OffsetDateTime::from_unix_timestamp(anchor))
    else {
        return fallback;
    };
    let total = i64::from(begin.year()) * 12 + i64::from(u8::from(begin.month())) - 1 + months;
    let Ok(year) = i32::try_from(total.div_euclid(12)) else { return fallback };
    let number = u8::try_from(total.rem_euclid(12) + 1).expect("a month is between 1 and 12");
    let month = Month::try_from(number).expect("a month is between 1 and 12");
    let day = anchor.day().min(month.length(year));
    match Date::from_calendar_date(year, month, day) {
        Ok(date) => begin.replace_date(date).unix_timestamp(),
        Err(_) => fallback,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recurring(interval: &str, interval_count: i64) -> Recurring {
        Recurring {
            interval: interval.to_owned(),
            interval_count,
            trial_period_days: None,
            usage_type: "licensed".to_owned(),
        }
    }

    fn at(year: i32, month: Month, day: u8) -> i64 {
        Date::from_calendar_date(year, month, day).unwrap().midnight().assume_utc().unix_timestamp()
    }

    #[test]
    fn a_month_from_the_31st_ends_on_the_last_day_and_returns_to_the_31st() {
        let anchor = at(2027, Month::January, 31);
        let february = end(anchor, anchor, &recurring("month", 1));
        assert_eq!(february, at(2027, Month::February, 28));
        assert_eq!(end(february, anchor, &recurring("month", 1)), at(2027, Month::March, 31));
    }

    #[test]
    fn years_and_weeks_are_counted() {
        let anchor = at(2028, Month::February, 29);
        assert_eq!(end(anchor, anchor, &recurring("year", 1)), at(2029, Month::February, 28));
        assert_eq!(end(0, 0, &recurring("week", 2)), 14 * DAY);
    }
}
