//! Several workers send at once.

use super::*;

fn sorted(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn with_several_workers_every_span_arrives_exactly_once() {
    let batch = BatchLimits { max_spans: 3, ..BATCH };
    let mut turn = 0;
    let mut scene = Scene::with(limits(10_000, 1 << 20), batch, move |_| {
        turn += 1;
        let answer = if turn % 7 == 0 { fail(FailureKind::Unavailable) } else { take() };
        answer.after(millis(turn * 37 % 200))
    });
    let records: Vec<String> =
        ('\u{21}'..='\u{7e}').map(|letter| letter.to_string().repeat(2)).collect();
    scene.start(4);

    for record in &records {
        scene.store(&[record]);
        sleep(millis(5)).await;
    }
    scene.finish().await;

    assert_eq!(sorted(&scene.destination.taken()), records.concat());
    assert_eq!(scene.ledger().sent, 2 * records.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn several_workers_send_at_the_same_time() {
    let batch = BatchLimits { max_spans: 1, ..BATCH };
    let mut scene = Scene::with(limits(100, 10_000), batch, |_| take().after(secs(1)));
    scene.store(&["a", "b", "c"]);
    scene.start(3);

    sleep(millis(500)).await;

    assert_eq!(scene.ledger().in_flight, 3);
    scene.finish().await;
}
