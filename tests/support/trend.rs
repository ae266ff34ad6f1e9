//! A line through measurements: how fast something grows.
//!
//! Responsible for the slope alone. Refuses to say how much is too much. Invariant: the order of the measurements does not
//! matter.

/// The slope of the straight line that has the least squares of distances to the points, each (x, y), in y per x.
///
/// # Panics
/// If there are fewer than two points, or all have the same x.
///
/// # Source
/// Ordinary least squares: the sum of (x - mean x)(y - mean y) over the sum of (x - mean x)².
pub fn slope(points: &[(f64, f64)]) -> f64 {
    assert!(points.len() >= 2, "a line goes through two points");
    let count = points.iter().map(|_| 1.0).sum::<f64>();
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    assert!(spread > 0.0, "points above one another have no slope");
    let shared = points
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum::<f64>();
    shared / spread
}

/// How fast something grows all the time: the median of the slopes in so many equal parts of the points, which are in the
/// order of x. A step shows in the part that it falls into, steady growth in each.
///
/// # Panics
/// If a part has fewer than two points.
pub fn steady_slope(points: &[(f64, f64)], parts: usize) -> f64 {
    let mut slopes: Vec<f64> = points
        .chunks_exact(points.len() / parts)
        .take(parts)
        .map(slope)
        .collect();
    slopes.sort_unstable_by(f64::total_cmp);
    slopes[slopes.len() / 2]
}

/// The one in the middle of the values in their order.
///
/// # Panics
/// If there is none.
pub fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_gives_its_own_slope_and_one_that_wavers_its_trend() {
        let straight: Vec<(f64, f64)> = (0..10)
            .map(|x| (f64::from(x), 3.0 - 2.0 * f64::from(x)))
            .collect();
        assert!((slope(&straight) + 2.0).abs() < 1e-9);
        // up and down by 5 around no trend; the ends weigh more, so it is as good as none
        let wavering: Vec<(f64, f64)> = (0..1001)
            .map(|x| (f64::from(x), if x % 2 == 0 { 5.0 } else { -5.0 }))
            .collect();
        assert!(slope(&wavering).abs() < 1e-3);
    }

    #[test]
    fn steps_are_no_steady_growth() {
        let steps = |x: i32| f64::from(x / 40) * 100.0;
        let steep: Vec<(f64, f64)> = (0..103).map(|x| (f64::from(x), steps(x))).collect();
        assert!(slope(&steep) > 1.0);
        assert!(steady_slope(&steep, 5).abs() < 1e-9);
        let growing: Vec<(f64, f64)> = (0..103)
            .map(|x| (f64::from(x), steps(x) + 2.0 * f64::from(x)))
            .collect();
        assert!((steady_slope(&growing, 5) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_middle_does_not_see_one_value_that_stands_out() {
        assert_eq!(median(&[7, 1_000, 5, 6, 5]), 6);
    }
}
