//! What every implementor of the storage ports must keep, one promise a function.
//!
//! The functions take a fresh store and panic when a promise is broken. Hook all of them up to an implementor with
//! [`store_contract!`](crate::store_contract), [`queue_contract!`](crate::queue_contract),
//! [`catalogue_contract!`](crate::catalogue_contract), [`reader_contract!`](crate::reader_contract),
//! [`books_contract!`](crate::books_contract) and [`limiter_contract!`](crate::limiter_contract).
//!
//! Stores count leases by a clock of their own, so nothing here moves time: leases that must end are short and
//! polled for, leases that must hold are a minute long.

pub mod books;
pub mod breaks;
pub mod calls;
pub mod catalogue;
pub mod causes;
pub mod concurrency;
pub mod disputes;
pub mod inbox;
pub mod jobs;
pub mod leases;
pub mod ledger;
pub mod limits;
pub mod payments;
pub mod random;
mod random_units;
pub mod reader;
pub mod refunds;
pub mod rows;
pub mod runs;
mod stage;
pub mod timers;
pub mod trail;
pub mod turns;
pub mod versions;

use paywright_domain::ports::{Books, Catalogue, Limiter, Queue, Reader, Store};

/// A store with all its ports.
pub trait Backend: Store + Queue + Catalogue + Reader {}

impl<T: Store + Queue + Catalogue + Reader + ?Sized> Backend for T {}

/// A store that keeps the books of reconciliation too.
pub trait Bookkeeper: Backend + Books {}

impl<T: Backend + Books + ?Sized> Bookkeeper for T {}

/// A store that counts attempts to pay too.
pub trait Doorkeeper: Backend + Limiter {}

impl<T: Backend + Limiter + ?Sized> Doorkeeper for T {}

/// One test for each promise of [`Store`](paywright_domain::ports::Store).
///
/// The expression is evaluated once a test; it is a future of `(Arc<dyn Backend>, guard)`, and the guard lives as
/// long as the test.
#[macro_export]
macro_rules! store_contract {
    ($fresh:expr) => {
        $crate::promises! { $fresh; store_contract;
            causes: [
                a_cause_is_taken_once,
                each_beat_of_a_request_is_a_cause,
                a_taken_cause_writes_nothing_else,
                a_cause_that_failed_is_not_taken,
            ],
            versions: [
                a_stale_step_changes_nothing,
                a_birth_over_a_living_one_conflicts,
                a_step_of_what_is_not_stored_conflicts,
                two_steps_of_one_aggregate_are_one_unit,
                of_two_deciders_one_wins,
                a_guard_that_no_longer_holds_changes_nothing,
                of_two_who_guard_what_the_other_writes_one_wins,
            ],
            rows: [
                an_order_reads_back_as_it_was_placed,
                every_step_of_an_order_reads_back,
                a_cancelled_order_keeps_its_reason,
                a_payment_reads_back_as_it_was_started,
                every_step_of_a_payment_reads_back,
                a_payment_may_be_born_ended,
                great_amounts_read_back,
                customers_are_unique_by_address_within_a_mode,
                products_are_found_within_their_mode,
                what_is_not_there_is_none,
            ],
            payments: [
                an_order_has_one_live_payment,
                a_payment_may_follow_when_the_one_before_ended,
                of_many_starts_at_once_one_wins,
                an_object_of_the_gateway_belongs_to_one_payment,
            ],
            refunds: [
                every_step_of_a_refund_reads_back,
                every_end_of_a_refund_reads_back,
                a_refund_may_be_born_and_seen_at_once,
                a_stale_step_of_a_refund_changes_nothing,
                a_refund_of_the_gateway_belongs_to_one,
                more_is_never_given_back_than_was_taken,
                refunds_at_once_never_reserve_more_than_was_taken,
            ],
            disputes: [
                every_step_of_a_dispute_reads_back,
                a_dispute_may_come_before_its_payment,
                evidence_reads_back_to_the_letter,
                a_stale_step_of_a_dispute_changes_nothing,
                a_dispute_of_the_gateway_is_opened_once,
            ],
            ledger: [
                a_movement_is_booked_line_by_line,
                a_movement_is_booked_once,
                a_movement_told_by_many_at_once_is_booked_once,
                a_unit_that_conflicts_books_nothing,
            ],
            breaks: [
                a_break_reads_back,
                a_break_is_open_once,
                an_explained_break_is_ended,
                an_ended_break_is_opened_again,
            ],
            calls: [
                every_call_reads_back,
                an_answer_ends_its_call,
                a_call_is_recorded_once_for_its_key,
                several_refunds_of_a_payment_have_calls_of_their_own,
                a_recorded_call_is_a_job_at_once,
                a_held_call_is_its_committers,
                a_held_call_passes_to_one_worker_when_its_time_is_over,
            ],
            jobs: [
                a_commit_completes_its_job,
                only_the_newest_lease_completes_a_job,
                a_lease_stands_until_somebody_else_claims,
                a_commit_that_fails_leaves_its_job,
                a_job_that_is_not_there_is_lost,
                of_many_commits_of_one_job_one_counts,
            ],
            timers: [
                a_timer_rings_at_its_time,
                a_wrong_clock_does_not_move_a_timer,
                a_timer_is_moved_to_the_earlier_of_both_times,
                a_timer_moved_while_it_is_held_rings_again,
                a_timer_may_set_the_next_one,
            ],
            trail: [
                a_step_is_told_with_why_and_who,
                a_unit_is_told_in_order,
                refunds_and_disputes_are_told,
                a_decline_is_told_once,
                a_break_is_told_once,
            ],
            concurrency: [
                units_of_different_orders_do_not_disturb_each_other,
                racing_deciders_leave_a_path_without_gaps,
            ],
            random: [
                units_at_once_come_to_what_some_order_of_them_comes_to,
            ],
        }
    };
}

/// One test for each promise of [`Queue`](paywright_domain::ports::Queue); see [`store_contract!`].
#[macro_export]
macro_rules! queue_contract {
    ($fresh:expr) => {
        $crate::promises! { $fresh; queue_contract;
            inbox: [
                an_event_reads_back_byte_for_byte,
                an_event_is_stored_once,
                fifty_deliveries_at_once_are_one_event,
                an_ignored_event_gets_no_job,
            ],
            leases: [
                a_claim_raises_token_and_attempts,
                a_claimed_job_is_nobody_elses,
                concurrent_claims_give_each_job_to_one,
                the_oldest_due_come_first_up_to_the_limit,
                queues_do_not_see_each_others_jobs,
                a_retried_job_comes_back_after_its_delay,
                a_retried_job_does_not_come_back_before,
                a_buried_job_does_not_come_back,
                a_lost_lease_neither_retries_nor_buries,
            ],
            turns: [
                fresh_events_pass_a_backlog,
                a_backlog_is_not_starved,
                a_single_hand_serves_the_backlog_too,
                either_priority_alone_has_all_places,
                events_about_one_payment_are_claimed_one_by_one_the_oldest_first,
                nobody_waits_behind_a_busy_payment,
                a_payment_is_free_again_when_its_holder_is_gone,
                concurrent_claims_never_take_two_jobs_about_one_payment,
            ],
        }
    };
}

/// One test for each promise of [`Catalogue`](paywright_domain::ports::Catalogue); see [`store_contract!`].
#[macro_export]
macro_rules! catalogue_contract {
    ($fresh:expr) => {
        $crate::promises! { $fresh; catalogue_contract;
            catalogue: [
                a_product_reads_back,
                adding_twice_keeps_the_first,
                a_product_is_replaced_over_the_version_before,
                of_many_edits_at_once_one_wins,
                products_are_listed_newest_first_in_pages,
                a_product_is_invisible_in_the_other_mode,
            ],
        }
    };
}

/// One test for each promise of [`Reader`](paywright_domain::ports::Reader); see [`store_contract!`].
#[macro_export]
macro_rules! reader_contract {
    ($fresh:expr) => {
        $crate::promises! { $fresh; reader_contract;
            reader: [
                an_order_is_shown_with_all_its_parts,
                orders_are_listed_newest_first_in_pages,
                a_list_goes_on_behind_an_order_that_is_not_there,
                orders_are_filtered,
                modes_do_not_see_each_other,
                a_timeline_is_oldest_first_and_of_one_order,
                an_order_is_shown_with_its_refunds_and_disputes,
            ],
            refunds: [
                refunds_are_listed_newest_first_in_pages,
            ],
            disputes: [
                disputes_are_listed_newest_first_in_pages,
            ],
            breaks: [
                breaks_are_listed_newest_first_in_pages,
            ],
            ledger: [
                each_currency_sums_to_zero,
                the_ledger_is_read_by_time_in_pages,
            ],
        }
    };
}

/// One test for each promise of [`Books`](paywright_domain::ports::Books); see [`store_contract!`], but for a future of
/// `(Arc<dyn Bookkeeper>, guard)`.
#[macro_export]
macro_rules! books_contract {
    ($fresh:expr) => {
        $crate::promises! { $fresh; books_contract;
            books: [
                a_cursor_moves_forward_only,
                what_has_not_come_to_an_end_is_worth_a_look,
                what_was_looked_at_is_left_alone,
                a_call_whose_job_is_dead_is_abandoned,
                what_is_booked_is_known_by_its_transaction,
                a_payout_is_booked_without_an_order,
            ],
            runs: [
                a_run_reads_back,
                a_run_that_died_is_ended_by_the_next,
                runs_are_listed_newest_first_in_pages,
                the_runs_of_a_time_are_summed_up,
                a_payout_reads_back_as_it_was_seen_last,
                payouts_are_listed_newest_first_in_pages,
                the_differences_of_a_time_are_summed_up,
            ],
        }
    };
}

/// One test for each promise of [`Limiter`](paywright_domain::ports::Limiter); see [`store_contract!`], but for a future of
/// `(Arc<dyn Doorkeeper>, guard)`.
#[macro_export]
macro_rules! limiter_contract {
    ($fresh:expr) => {
        $crate::promises! { $fresh; limiter_contract;
            limits: [
                a_quota_is_used_up_and_comes_back,
                each_network_customer_and_key_has_its_own,
                modes_are_counted_apart,
                of_many_at_once_no_more_are_admitted_than_there_is_room,
                who_is_refused_uses_up_nothing,
                payments_of_an_order_are_counted,
                declines_count_for_order_customer_and_network,
                the_longest_wait_is_told,
                without_quotas_everybody_is_admitted,
                bad_keys_are_counted_by_network,
                what_became_of_attempts_is_told,
            ],
        }
    };
}

/// The tests of the macros above.
#[doc(hidden)]
#[macro_export]
macro_rules! promises {
    ($fresh:expr; $suite:ident; $($topic:ident: [$($promise:ident),* $(,)?]),* $(,)?) => {
        mod $suite {
            $(
                mod $topic {
                    use super::super::*;
                    $(
                        #[$crate::tokio::test(flavor = "multi_thread", crate = "paywright_testkit::tokio")]
                        async fn $promise() {
                            let (backend, _guard) = $fresh.await;
                            $crate::contract::$topic::$promise(backend).await;
                        }
                    )*
                }
            )*
        }
    };
}
