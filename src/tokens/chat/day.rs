//! A day, and how Python's `strftime` writes it.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A day of the calendar, written `2026-02-03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day {
    year: u32,
    month: u32,
    day: u32,
}

impl Day {
    /// The present day in UTC.
    pub fn today() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let days = since.map_or(0, |since| since.as_secs() / 86_400);
        let (mut day, mut left) = (
            Self {
                year: 1970,
                month: 1,
                day: 1,
            },
            days as u32,
        );
        while left >= day.days_of_year() {
            left -= day.days_of_year();
            day.year += 1;
        }
        while left >= day.days_of_month() {
            left -= day.days_of_month();
            day.month += 1;
        }
        day.day += left;
        day
    }

    fn is_leap(self) -> bool {
        self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400))
    }

    fn days_of_year(self) -> u32 {
        365 + u32::from(self.is_leap())
    }

    fn days_of_month(self) -> u32 {
        match self.month {
            2 => 28 + u32::from(self.is_leap()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// The day of its year, from 1.
    fn of_year(self) -> u32 {
        let before = (1..self.month).map(|month| Self { month, ..self }.days_of_month());
        before.sum::<u32>() + self.day
    }

    /// The day of its week, Sunday as 0.
    fn weekday(self) -> u32 {
        let years = self.year - 1;
        (years + years / 4 - years / 100 + years / 400 + self.of_year()) % 7
    }

    /// Writes the beginning of the day as Python's `strftime` does, or says which code is not known here.
    pub(super) fn strftime(self, format: &str) -> Result<String, String> {
        let Self { year, month, day } = self;
        let (month_name, weekday) = (
            MONTHS[month as usize - 1],
            WEEKDAYS[self.weekday() as usize],
        );
        let mut out = String::new();
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut code = rest.next();
            // `%-d` leaves out zeros in front
            let is_bare = code == Some('-');
            if is_bare {
                code = rest.next();
            }
            let number = |value: u32, width: usize| match is_bare {
                true => value.to_string(),
                false => format!("{value:0width$}"),
            };
            out.push_str(&match code {
                Some('Y') => year.to_string(),
                Some('y') => number(year % 100, 2),
                Some('m') => number(month, 2),
                Some('d') => number(day, 2),
                Some('e') => format!("{day:2}"),
                Some('j') => number(self.of_year(), 3),
                Some('B') => month_name.to_owned(),
                Some('b' | 'h') => month_name[..3].to_owned(),
                Some('A') => weekday.to_owned(),
                Some('a') => weekday[..3].to_owned(),
                Some('w') => self.weekday().to_string(),
                Some('u') => ((self.weekday() + 6) % 7 + 1).to_string(),
                Some('F') => self.to_string(),
                Some('D' | 'x') => format!("{month:02}/{day:02}/{:02}", year % 100),
                Some('H' | 'M' | 'S') => number(0, 2),
                Some('I') => number(12, 2),
                Some('p') => "AM".to_owned(),
                Some('f') => "000000".to_owned(),
                Some('R') => "00:00".to_owned(),
                Some('T' | 'X') => "00:00:00".to_owned(),
                Some('c') => format!(
                    "{} {} {day:2} 00:00:00 {year}",
                    &weekday[..3],
                    &month_name[..3]
                ),
                Some('n') => "\n".to_owned(),
                Some('t') => "\t".to_owned(),
                Some('%') => "%".to_owned(),
                Some('z' | 'Z') => String::new(),
                Some('C') => number(year / 100, 2),
                Some('U') => number((self.of_year() + 6 - self.weekday()) / 7, 2),
                Some('W') => number((self.of_year() + 6 - (self.weekday() + 6) % 7) / 7, 2),
                Some('k') => " 0".to_owned(),
                Some('l') => "12".to_owned(),
                Some('P') => "am".to_owned(),
                Some('r') => "12:00:00 AM".to_owned(),
                Some(other) => {
                    let flag = if is_bare { "-" } else { "" };
                    return Err(format!("`strftime_now` does not know `%{flag}{other}`"));
                }
                None => "%".to_owned(),
            });
        }
        Ok(out)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("`{text}` is not a day, such as 2026-02-03");
        let numbers: Vec<u32> = (text.split('-'))
            .map(|number| number.parse().map_err(|_| error()))
            .collect::<Result<_, _>>()?;
        let &[year, month, day] = &numbers[..] else {
            return Err(error());
        };
        let found = Self { year, month, day };
        let is_day = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=found.days_of_month()).contains(&day);
        is_day.then_some(found).ok_or_else(error)
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_python_writes_them() {
        let day: Day = "2026-02-03".parse().unwrap();
        assert_eq!(day.strftime("%d %b %Y").unwrap(), "03 Feb 2026");
        assert_eq!(
            day.strftime("%A %a %B %-d %e %y %j %u %F %D %H:%M %p 100%%")
                .unwrap(),
            "Tuesday Tue February 3  3 26 034 2 2026-02-03 02/03/26 00:00 AM 100%"
        );
        let leap: Day = "2000-12-31".parse().unwrap();
        assert_eq!(leap.strftime("%j %a %U %W %C").unwrap(), "366 Sun 53 52 20");
        for wrong in ["2026-02-29", "2026-13-01", "2026-1", "x", "0-1-1"] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
        assert!(Day::today().year >= 2026);
    }
}
