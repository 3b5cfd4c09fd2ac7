//! The account that all keys belong to.
//!
//! Source: <https://docs.stripe.com/api/accounts>.

use serde_json::{Value, json};

use super::context::Context;
use super::error::ApiResult;
use super::params::Params;

pub const ID: &str = "acct_1PaywrightSandbox";
pub const CURRENCY: &str = "usd";

/// `GET /v1/account`.
pub fn retrieve(_: &mut Context<'_>, _: &[&str], _: Params<'_>) -> ApiResult<Value> {
    Ok(json!({
        "id": ID,
        "object": "account",
        "business_profile": {
            "annual_revenue": null,
            "estimated_worker_count": null,
            "mcc": "5734",
            "minority_owned_business_designation": null,
            "name": "Paywright Sandbox",
            "product_description": null,
            "support_address": null,
            "support_email": null,
            "support_phone": null,
            "support_url": null,
            "url": null,
        },
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": true,
        "controller": {"type": "account"},
        "country": "US",
        "created": 1_577_836_800,
        "default_currency": CURRENCY,
        "details_submitted": true,
        "email": "sandbox@example.com",
        "payouts_enabled": true,
        "settings": {
            "branding": {"icon": null, "logo": null, "primary_color": null, "secondary_color": null},
            "card_payments": {
                "decline_on": {"avs_failure": false, "cvc_failure": false},
                "statement_descriptor_prefix": null,
                "statement_descriptor_prefix_kana": null,
                "statement_descriptor_prefix_kanji": null,
            },
            "dashboard": {"display_name": "Paywright Sandbox", "timezone": "Etc/UTC"},
            "payments": {
                "statement_descriptor": "PAYWRIGHT SANDBOX",
                "statement_descriptor_kana": null,
                "statement_descriptor_kanji": null,
                "statement_descriptor_prefix_kana": null,
                "statement_descriptor_prefix_kanji": null,
            },
            "payouts": {
                "debit_negative_balances": true,
                "schedule": {"delay_days": 2, "interval": "daily"},
                "statement_descriptor": null,
            },
        },
        "type": "standard",
    }))
}
