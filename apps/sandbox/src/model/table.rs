//! Objects of one kind, in the order of their creation and by id.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a table can hold.
pub trait Row {
    fn id(&self) -> &str;
    /// Seconds since 1970.
    fn created(&self) -> i64;
}

/// Rows in creation order. Lookups by id take constant time; nothing ever iterates the map.
#[derive(Clone, Debug)]
pub struct Table<T> {
    rows: std::collections::VecDeque<T>,
    /// How many rows were dropped from the front: a row's place is its number minus this.
    dropped: usize,
    numbers: HashMap<String, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Default::default(), dropped: 0, numbers: HashMap::new() }
    }
}

impl<T: Row> Table<T> {
    pub fn insert(&mut self, row: T) {
        self.numbers.insert(row.id().to_owned(), self.dropped + self.rows.len());
        self.rows.push_back(row);
    }

    pub fn get(&self, id: &str) -> Option<&T> {
        self.rows.get(self.place(id)?)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        let place = self.place(id)?;
        self.rows.get_mut(place)
    }

    pub fn contains(&self, id: &str) -> bool {
        self.numbers.contains_key(id)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Where a row stands, counted from the oldest.
    pub fn place(&self, id: &str) -> Option<usize> {
        self.numbers.get(id).map(|number| number - self.dropped)
    }

    /// Rows by place, oldest first.
    pub fn at(&self, place: usize) -> Option<&T> {
        self.rows.get(place)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.rows.iter()
    }

    /// Forgets the oldest row.
    pub fn pop_oldest(&mut self) -> Option<T> {
        let row = self.rows.pop_front()?;
        self.numbers.remove(row.id());
        self.dropped += 1;
        Some(row)
    }

    pub fn oldest(&self) -> Option<&T> {
        self.rows.front()
    }
}

impl<T: Row> FromIterator<T> for Table<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        let mut table = Self::default();
        rows.into_iter().for_each(|row| table.insert(row));
        table
    }
}

impl<T: Serialize> Serialize for Table<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.rows)
    }
}

impl<'de, T: Row + Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<T>::deserialize(deserializer)?.into_iter().collect())
    }
}
