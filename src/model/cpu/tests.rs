//! Every kernel on every instruction set against the formula in f64.

use super::*;
use crate::lanes::Isa;
use crate::model::config::Activation;

/// What can be run here.
fn isas() -> Vec<Isa> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    super::emulated_amx::install();
    let runs = |isa: &Isa| match isa {
        // emulated where the CPU has none
        Isa::Amx => cfg!(all(target_arch = "x86_64", target_os = "linux")),
        isa => isa.is_available(),
    };
    Isa::ALL.into_iter().filter(runs).collect()
}

/// Numbers that look random, from -1 to 1.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
    };
    (0..n).map(next).collect()
}

fn rounded(x: f32, operands: Operands) -> f64 {
    match operands {
        Operands::F32 => f64::from(x),
        Operands::Bf16 => f64::from(half::bf16::from_f32(x)),
    }
}

fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*f) - e).abs();
        assert!(
            error <= tolerance * e.abs().max(1.0),
            "{what}: {f} at {at}, expected {e}"
        );
    }
}

#[test]
fn products_of_all_shapes() {
    let shapes = [
        (1, 1, 1),
        (3, 5, 7),
        (15, 31, 33),
        (14, 32, 64),
        (29, 100, 65),
        (130, 64, 96),
        (257, 40, 800),
        (5, 33, 1601),
    ];
    for operands in [Operands::F32, Operands::Bf16] {
        for (n_rows, n_out, n_in) in shapes {
            let (x, w) = (noise(n_rows * n_in, 1), noise(n_out * n_in, 2));
            let mut expected = Vec::new();
            for row in x.chunks_exact(n_in) {
                for weights in w.chunks_exact(n_in) {
                    let products = row.iter().zip(weights);
                    let products =
                        products.map(|(a, b)| rounded(*a, operands) * rounded(*b, operands));
                    expected.push(products.sum::<f64>());
                }
            }
            let mut first: Option<Vec<f32>> = None;
            for isa in isas() {
                let value = |out: usize, input: usize| w[out * n_in + input];
                let weights = Packed::new(isa, operands, (n_out, n_in), 1, value);
                let mut rows = weights.rows();
                rows.pack_rows(n_rows, n_in, |row| &x[row * n_in..(row + 1) * n_in]);
                let found = linear(&rows, &weights);
                let what = format!("{isa:?} {operands:?} {n_rows} {n_out} {n_in}");
                assert_close(&found, &expected, 5e-5, &what);
                // one row alone is the same to the last bit
                let mut one = weights.rows();
                one.pack_rows(1, n_in, |_| &x[(n_rows - 1) * n_in..]);
                assert_eq!(
                    linear(&one, &weights),
                    found[(n_rows - 1) * n_out..],
                    "{what}"
                );
                if operands == Operands::F32 && isa > Isa::Portable {
                    // a chain of multiply-adds is the same on all that have the instruction
                    assert_eq!(first.get_or_insert_with(|| found.clone()), &found, "{what}");
                }
            }
        }
    }
}

#[test]
fn neurons_in_panels_and_their_output() {
    let (n_rows, d_model, d_mlp) = (150, 24, 100);
    let (x, w) = (noise(n_rows * d_model, 1), noise(d_mlp * d_model, 2));
    let w_out = noise(d_model * d_mlp, 3);
    for operands in [Operands::F32, Operands::Bf16] {
        for isa in isas() {
            let value = |out: usize, input: usize| w[out * d_model + input];
            let weights = Packed::new(isa, operands, (d_mlp, d_model), 1, value);
            let value = |out: usize, input: usize| w_out[out * d_mlp + input];
            let out = Packed::new(isa, operands, (d_model, d_mlp), PANEL, value);
            let mut rows = weights.rows();
            rows.pack_rows(n_rows, d_model, |row| {
                &x[row * d_model..(row + 1) * d_model]
            });
            let whole = linear(&rows, &weights);
            let mut hidden = rows.alike();
            hidden.in_blocks(n_rows, d_mlp);
            let mut values = vec![f32::NAN; GROUP_ROWS * PANEL];
            for (panel, mut block) in hidden.blocks().enumerate() {
                for tiles in rows.groups() {
                    multiply_neurons(&rows, tiles.clone(), &weights, panel, &mut values);
                    let of_tiles = rows.rows_of(&tiles);
                    for (row, at) in of_tiles.clone().enumerate() {
                        let n = PANEL.min(d_mlp - panel * PANEL);
                        let found = &values[row * PANEL..row * PANEL + n];
                        let from = at * d_mlp + panel * PANEL;
                        assert_eq!(found, &whole[from..from + n], "{isa:?} {operands:?}");
                    }
                    block.pack(tiles, &values[..of_tiles.len() * PANEL]);
                }
            }
            let mut flat = out.rows();
            flat.pack_rows(n_rows, d_mlp, |row| &whole[row * d_mlp..(row + 1) * d_mlp]);
            let (found, expected) = (linear(&hidden, &out), linear(&flat, &out));
            let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
            assert_close(&found, &expected, 1e-5, &format!("{isa:?} {operands:?}"));
        }
    }
}

/// Attention by its formula.
fn attention(
    shape: AttentionShape,
    (q, k, v): (&[f32], &[f32], &[f32]),
    lengths: &[usize],
) -> Vec<f64> {
    let (h, kv, d) = (shape.n_heads, shape.n_key_value_heads, shape.d_head);
    let mut out = Vec::new();
    let mut start = 0;
    for &n in lengths {
        for at in 0..n {
            for head in 0..h {
                let key_head = head / (h / kv);
                let key = |pos: usize| (start + pos) * kv * d + key_head * d;
                let query = (start + at) * h * d + head * d;
                let first = (at + 1).saturating_sub(shape.window.unwrap_or(n));
                let score = |pos: usize| {
                    let dot: f64 = (0..d)
                        .map(|i| f64::from(q[query + i]) * f64::from(k[key(pos) + i]))
                        .sum();
                    let dot = dot * f64::from(shape.scale);
                    match shape.softcap {
                        Some(cap) => (dot / f64::from(cap)).tanh() * f64::from(cap),
                        None => dot,
                    }
                };
                let weights: Vec<f64> = (first..=at).map(|pos| score(pos).exp()).collect();
                let total: f64 = weights.iter().sum();
                for i in 0..d {
                    let values = (first..=at).map(|pos| f64::from(v[key(pos) + i]));
                    let sum: f64 = values.zip(&weights).map(|(v, w)| v * w).sum();
                    out.push(sum / total);
                }
            }
        }
        start += n;
    }
    out
}

#[test]
fn attention_of_windows_groups_and_caps() {
    let shapes = [
        (4, 2, 8, None, None),
        (3, 1, 40, Some(2.0), None),
        (2, 2, 64, None, Some(9)),
    ];
    for (n_heads, n_key_value_heads, d_head, softcap, window) in shapes {
        let shape = AttentionShape {
            n_heads,
            n_key_value_heads,
            d_head,
            scale: 0.9,
            softcap,
            window,
            past: 0,
        };
        let lengths = [1, 5, 33, 100];
        let n: usize = lengths.iter().sum();
        let q = noise(n * n_heads * d_head, 1);
        let k = noise(n * n_key_value_heads * d_head, 2);
        let v = noise(n * n_key_value_heads * d_head, 3);
        let expected = attention(shape, (&q, &k, &v), &lengths);
        for isa in isas() {
            for (operands, tolerance) in [(Operands::F32, 1e-5), (Operands::Bf16, 3e-2)] {
                let found = attend(isa, operands, shape, q.clone(), (&k, &v), &lengths);
                let what = format!("{isa:?} {operands:?} {shape:?}");
                assert_close(&found, &expected, tolerance, &what);
                // the last window again, without the queries of its first positions
                for past in [1, 31, 70, 99] {
                    let (row, first) = (n_heads * d_head, n - 100);
                    let keys = |k: &[f32]| k[first * n_key_value_heads * d_head..].to_vec();
                    let (k, v) = (keys(&k), keys(&v));
                    let q = q[(first + past) * row..].to_vec();
                    let shape = AttentionShape { past, ..shape };
                    let found = attend(isa, operands, shape, q, (&k, &v), &[100 - past]);
                    let expected = &expected[(first + past) * row..];
                    assert_close(&found, expected, tolerance, &what);
                }
            }
        }
    }
}

#[test]
fn activations_by_their_formulas() {
    let mut x: Vec<f32> = (-4000..4000).map(|i| i as f32 / 200.0).collect();
    x.extend([0.0, -0.0, 1e-30, -1e-30, 87.5, -87.5, 1e4, -1e4, 3e38]);
    // Φ by the series of its density, in f64
    let phi = |x: f64| {
        if x.abs() > 8.5 {
            return if x > 0.0 { 1.0 } else { 0.0 };
        }
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term.abs() > 1e-18 {
            n += 2.0;
            term *= x * x / n;
            sum += term;
        }
        0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
    };
    for (act_fn, formula) in [
        (
            Activation::Silu,
            &(|x: f64| x / (1.0 + (-x).exp())) as &dyn Fn(f64) -> f64,
        ),
        (Activation::GeluTanh, &|x: f64| {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            x / 2.0 * (1.0 + u.tanh())
        }),
        (Activation::Gelu, &|x: f64| x * phi(x)),
        (Activation::Relu, &|x: f64| x.max(0.0)),
    ] {
        let expected: Vec<f64> = x.iter().map(|x| formula(f64::from(*x))).collect();
        for isa in isas() {
            let mut found = vec![0.0; x.len()];
            activate(isa, act_fn, &x, &mut found);
            for ((x, f), e) in x.iter().zip(&found).zip(&expected) {
                let error = (f64::from(*f) - e).abs();
                let bound = 3e-7 * e.abs().max(x.abs().into()) + 1e-30;
                assert!(
                    error <= bound,
                    "{isa:?} {act_fn:?}({x}) is {f}, expected {e}"
                );
                // what the statistics count on
                assert!(
                    *f == 0.0 || (*f < 0.0) == (*x < 0.0),
                    "{act_fn:?}({x}) = {f}"
                );
            }
            let input = noise(x.len(), 5);
            let (mut act, mut post) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            gated(isa, act_fn, (&x, &input), &mut act, &mut post);
            assert_eq!(act, found);
            assert!(
                post.iter()
                    .zip(&act)
                    .zip(&input)
                    .all(|((p, a), i)| *p == a * i)
            );
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    for isa in isas() {
        for act_fn in [
            Activation::Silu,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Relu,
        ] {
            let mut found = vec![0.0; 20];
            activate(isa, act_fn, &[f32::NAN; 20], &mut found);
            assert!(found.iter().all(|x| x.is_nan()), "{isa:?} {act_fn:?}");
        }
        let shape = AttentionShape {
            n_heads: 1,
            n_key_value_heads: 1,
            d_head: 8,
            scale: 1.0,
            softcap: None,
            window: None,
            past: 0,
        };
        let mut k = noise(40 * 8, 1);
        k[20 * 8] = f32::NAN;
        let q = noise(40 * 8, 2);
        let found = attend(isa, Operands::F32, shape, q, (&k, &k), &[40]);
        let is_nan = |row: &[f32]| row.iter().any(|x| x.is_nan());
        let rows: Vec<bool> = found.chunks_exact(8).map(is_nan).collect();
        assert!(rows[20..].iter().all(|nan| *nan), "{isa:?}");
        assert!(
            rows[..20].iter().all(|nan| !*nan),
            "{isa:?}: it is not seen before it comes"
        );
    }
}

#[test]
fn norms_and_rotations() {
    for d in [5, 16, 33] {
        let x = noise(3 * d, 1);
        let (weight, bias) = (noise(d, 2), noise(d, 3));
        let by_formula = |centred: bool| -> Vec<f64> {
            let rows = x.chunks_exact(d).map(|row| {
                let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
                let mean = if centred {
                    row.iter().sum::<f64>() / d as f64
                } else {
                    0.0
                };
                let square = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
                let scale = 1.0 / (square + 1e-5).sqrt();
                let bias = |i: usize| if centred { f64::from(bias[i]) } else { 0.0 };
                let of = |i: usize| (row[i] - mean) * scale * f64::from(weight[i]) + bias(i);
                (0..d).map(of).collect::<Vec<_>>()
            });
            rows.flatten().collect()
        };
        for isa in isas() {
            let mut found = x.clone();
            rms_norm(isa, &mut found, &weight, d, 1e-5);
            assert_close(&found, &by_formula(false), 1e-6, "rms");
            let mut found = x.clone();
            layer_norm(isa, &mut found, &weight, Some(&bias), d, 1e-5);
            assert_close(&found, &by_formula(true), 2e-6, "layer");

            let (n_heads, d_head, half, n) = (2, 2 * d + 3, d, 3);
            let x = noise(n * n_heads * d_head, 4);
            let angles = noise(n * half, 5);
            let cos: Vec<f32> = angles.iter().map(|a| a.cos()).collect();
            let sin: Vec<f32> = angles.iter().map(|a| a.sin()).collect();
            let mut found = x.clone();
            rotate(isa, &mut found, (&cos, &sin), n_heads, d_head);
            let mut expected: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            for (at, head) in expected.chunks_exact_mut(d_head).enumerate() {
                for i in 0..half {
                    let (c, s) = (cos[at / n_heads * half + i], sin[at / n_heads * half + i]);
                    let (a, b) = (head[i], head[half + i]);
                    head[i] = a * f64::from(c) - b * f64::from(s);
                    head[half + i] = b * f64::from(c) + a * f64::from(s);
                }
            }
            assert_close(&found, &expected, 1e-6, "rotation");
        }
    }
}
