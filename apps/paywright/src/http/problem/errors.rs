//! What each error of a use case is as a problem.

use actix_web::http::StatusCode;
use paywright_domain::{
    IllegalTransition, InvalidInput,
    ports::{GatewayError, StoreError},
    usecase::{
        AdvanceOrderError, AnswerDisputeError, CancelOrderError, ErrorKind, PlaceOrderError, ReconcileError,
        Rejection, RequestRefundError, SettleHoldError, StartPaymentError, SyncPaymentError,
    },
};

use super::{Problem, chain};

impl From<InvalidInput> for Problem {
    fn from(error: InvalidInput) -> Self {
        Self::invalid(error.field, error.problem)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::store(&error)
    }
}

impl From<PlaceOrderError> for Problem {
    fn from(error: PlaceOrderError) -> Self {
        match error {
            PlaceOrderError::Invalid(error) => error.into(),
            PlaceOrderError::Store(error) => Self::store(&error),
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<AdvanceOrderError> for Problem {
    fn from(error: AdvanceOrderError) -> Self {
        match error {
            AdvanceOrderError::Invalid(error) => error.into(),
            AdvanceOrderError::Illegal(error) => Self::illegal(&error),
            AdvanceOrderError::Store(error) => Self::store(&error),
            AdvanceOrderError::Refused(rejection) => Self::hold_refused(&rejection),
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<AnswerDisputeError> for Problem {
    fn from(error: AnswerDisputeError) -> Self {
        match error {
            AnswerDisputeError::Invalid(error) => error.into(),
            AnswerDisputeError::Illegal(error) => Self::illegal(&error),
            AnswerDisputeError::Store(error) => Self::store(&error),
            AnswerDisputeError::Refused(rejection) => {
                tracing::warn!(
                    code = rejection.code,
                    message = rejection.message,
                    "stripe refused an answer to a dispute"
                );
                Self::new(StatusCode::CONFLICT, "answer_refused", "Stripe does not take this answer")
                    .detail(format!("Stripe's code: {}", rejection.code))
            }
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<CancelOrderError> for Problem {
    fn from(error: CancelOrderError) -> Self {
        match error {
            CancelOrderError::Invalid(error) => error.into(),
            CancelOrderError::Illegal(error) => Self::illegal(&error),
            CancelOrderError::Store(error) => Self::store(&error),
            CancelOrderError::DisputeOpen => Self::dispute_open(&error),
            CancelOrderError::PaymentUnderWay => {
                Self::new(StatusCode::CONFLICT, "payment_under_way", "The payment cannot be ended now")
                    .detail(error.to_string())
            }
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<StartPaymentError> for Problem {
    fn from(error: StartPaymentError) -> Self {
        match error {
            StartPaymentError::Illegal(error) => Self::illegal(&error),
            StartPaymentError::Store(error) => Self::store(&error),
            StartPaymentError::InProgress => Self::in_progress(&error),
            StartPaymentError::Refused(rejection) => {
                tracing::error!(
                    code = rejection.code,
                    message = rejection.message,
                    "stripe refused a payment"
                );
                Self::new(StatusCode::BAD_GATEWAY, "payment_refused", "Stripe refused to create the payment")
                    .detail(format!("Stripe's code: {}", rejection.code))
            }
            StartPaymentError::Gateway(error @ GatewayError::KeyReused { .. }) => Self::bug(&error),
            StartPaymentError::Gateway(error) => {
                tracing::warn!(error = chain(&error), "stripe gave no answer");
                Self::unavailable("Stripe did not answer; the payment is recorded, send the request again")
            }
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<SettleHoldError> for Problem {
    fn from(error: SettleHoldError) -> Self {
        match error {
            SettleHoldError::Invalid(error) => error.into(),
            SettleHoldError::Illegal(error) => Self::illegal(&error),
            SettleHoldError::Store(error) => Self::store(&error),
            SettleHoldError::Refused(rejection) => Self::hold_refused(&rejection),
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<SyncPaymentError> for Problem {
    fn from(error: SyncPaymentError) -> Self {
        match error {
            SyncPaymentError::Illegal(_) => Self::in_progress(&error),
            SyncPaymentError::Store(error) => Self::store(&error),
            SyncPaymentError::Gateway(error) => {
                tracing::warn!(error = chain(&error), "stripe gave no answer");
                Self::unavailable("Stripe did not answer; nothing was changed, send the request again")
            }
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<RequestRefundError> for Problem {
    fn from(error: RequestRefundError) -> Self {
        let detail = error.to_string();
        match error {
            RequestRefundError::UnknownPayment => Self::invalid("payment", "is no payment"),
            RequestRefundError::Invalid(error) => error.into(),
            RequestRefundError::Store(error) => Self::store(&error),
            RequestRefundError::DisputeOpen => Self::dispute_open(&error),
            RequestRefundError::NotCaptured(_) => {
                Self::new(StatusCode::CONFLICT, "payment_not_captured", "Nothing was captured").detail(detail)
            }
            RequestRefundError::TooMuch { refundable } => {
                let title = "More than can be refunded";
                Self::new(StatusCode::CONFLICT, "refund_exceeds_refundable", title)
                    .detail(detail)
                    .refundable(refundable)
            }
            RequestRefundError::RefundableDiffers { refundable } => {
                let title = "Another amount can be refunded";
                Self::new(StatusCode::PRECONDITION_FAILED, "refundable_changed", title)
                    .detail(detail)
                    .refundable(refundable)
            }
            RequestRefundError::Refused(rejection) => {
                let title = "Stripe refused the refund";
                Self::new(StatusCode::PAYMENT_REQUIRED, "refund_refused", title).rejected(&rejection)
            }
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl From<ReconcileError> for Problem {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Store(error) => Self::store(&error),
            other => Self::of_kind(other.kind(), &other),
        }
    }
}

impl Problem {
    /// With Stripe's code; its words are for operators.
    fn rejected(self, rejection: &Rejection) -> Self {
        tracing::warn!(
            problem = self.0.code,
            code = rejection.code,
            message = rejection.message,
            "stripe refused"
        );
        self.detail(format!("Stripe's code: {}", rejection.code))
    }

    fn hold_refused(rejection: &Rejection) -> Self {
        let title = "Stripe refused to take or release the money";
        Self::new(StatusCode::PAYMENT_REQUIRED, "hold_refused", title).rejected(rejection)
    }

    fn dispute_open(error: &dyn std::error::Error) -> Self {
        Self::new(StatusCode::CONFLICT, "dispute_open", "A dispute is open").detail(error.to_string())
    }

    fn in_progress(error: &dyn std::error::Error) -> Self {
        Self::new(StatusCode::CONFLICT, "payment_in_progress", "Another request is at this payment")
            .detail(error.to_string())
            .retry_after(1)
    }

    fn illegal(error: &IllegalTransition) -> Self {
        let mut problem =
            Self::new(StatusCode::CONFLICT, "illegal_transition", "The state does not allow this")
                .detail(error.to_string());
        (problem.0.from, problem.0.event) = (Some(error.from), Some(error.event));
        problem.0.allowed = Some(error.allowed.clone());
        problem
    }

    fn store(error: &StoreError) -> Self {
        if error.is_transient() || matches!(error, StoreError::LeaseLost) {
            tracing::warn!(error = chain(error), "store not available");
            Self::unavailable("the database did not take it; nothing is lost, send the request again")
        } else {
            Self::bug(error)
        }
    }

    /// The one match over what a caller can do.
    fn of_kind(kind: ErrorKind, error: &dyn std::error::Error) -> Self {
        match kind {
            ErrorKind::NotFound => Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing")
                .detail(error.to_string()),
            ErrorKind::Conflict => {
                Self::new(StatusCode::CONFLICT, "conflict", "The state does not allow this")
                    .detail(error.to_string())
            }
            ErrorKind::Outdated => {
                Self::new(StatusCode::PRECONDITION_FAILED, "outdated", "Something changed in the meantime")
                    .detail(error.to_string())
            }
            ErrorKind::Invalid => Self::invalid("", error.to_string()),
            ErrorKind::Refused => {
                Self::new(StatusCode::BAD_GATEWAY, "refused", "Stripe refused it").detail(error.to_string())
            }
            ErrorKind::Unavailable => Self::unavailable("not available for a moment; send the request again"),
            ErrorKind::Bug => Self::bug(error),
        }
    }
}
