//! In which order features are evaluated: each after those that it asks.

/// Puts each place after those that `asks` lists for it (Tarjan, 1976: depth first).
///
/// # Errors
/// A place on a cycle.
pub fn order(asks: &[Vec<usize>]) -> Result<Vec<usize>, usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; asks.len()];
    let mut order = Vec::with_capacity(asks.len());
    for root in 0..asks.len() {
        // A place, and how many of those that it asks were looked at: no recursion, because a chain
        // may be as long as there are features.
        let mut path = vec![(root, 0)];
        while let Some((place, looked)) = path.pop() {
            let mark = marks.get(place).copied();
            if looked == 0 {
                match mark {
                    Some(Mark::New) => {}
                    Some(Mark::Open) => return Err(place),
                    Some(Mark::Done) | None => continue,
                }
                set(&mut marks, place, Mark::Open);
            }
            match asks.get(place).and_then(|asked| asked.get(looked)) {
                Some(next) => {
                    path.push((place, looked + 1));
                    path.push((*next, 0));
                }
                None => {
                    set(&mut marks, place, Mark::Done);
                    order.push(place);
                }
            }
        }
    }
    return Ok(order);

    fn set(marks: &mut [Mark], place: usize, mark: Mark) {
        if let Some(slot) = marks.get_mut(place) {
            *slot = mark;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn each_after_those_it_asks() {
        assert_eq!(order(&[]), Ok(vec![]));
        assert_eq!(order(&[vec![1], vec![2], vec![]]), Ok(vec![2, 1, 0]));
        assert_eq!(order(&[vec![1, 1], vec![], vec![0, 1]]), Ok(vec![1, 0, 2]));
        assert_eq!(order(&[vec![0]]), Err(0));
        assert!(order(&[vec![1], vec![2], vec![0]]).is_err());
        let long: Vec<Vec<usize>> = (0..5000).map(|i| vec![i + 1]).chain([vec![]]).collect();
        assert_eq!(order(&long).map(|order| order.len()), Ok(5001));
    }
}
