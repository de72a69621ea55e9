//! The order in which Java's `HashSet<String>` iterates. Kafka Streams' description of a topology shows it in places,
//! and ours is to be equal to the byte.

/// The names in the order of a `HashSet` into which they were put one by one.
pub(crate) fn hash_order<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut unique: Vec<&str> = Vec::new();
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    let mut buckets = 16usize;
    while unique.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    // Growing a table keeps the order within a bucket, so sorting stably by bucket is all there is to it.
    unique.sort_by_key(|name| spread(hash(name)) as usize & (buckets - 1));
    unique
}

fn hash(text: &str) -> u32 {
    text.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

fn spread(hash: u32) -> u32 {
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_java() {
        assert_eq!(hash("hello"), 99_162_322);
        assert_eq!(hash(""), 0);
    }

    #[test]
    fn short_names_come_in_bucket_order() {
        assert_eq!(hash_order(["b", "a", "c", "a"]), ["a", "b", "c"]);
    }
}
