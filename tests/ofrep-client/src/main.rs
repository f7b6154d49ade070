//! `ofrep-client BASE_URL TARGETING_KEY [NAME=VALUE …] [TYPE:FLAG …]`
//!
//! Asks each flag through the OpenFeature SDK, the way an application does, and prints one line of
//! JSON for each: what the SDK gave, or why it gave nothing. An empty targeting key leaves it out of
//! the context. `TYPE` is `bool`, `string`, `int`, `float` or `struct`.

use std::env;
use std::error::Error;

use open_feature::{
    Client, EvaluationContext, EvaluationDetails, EvaluationResult, OpenFeature, StructValue, Value,
};
use open_feature_ofrep::{OfrepOptions, OfrepProvider};
use serde_json::{Value as Json, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(base_url), Some(targeting_key)) = (arguments.next(), arguments.next()) else {
        return Err("ofrep-client BASE_URL TARGETING_KEY [NAME=VALUE …] [TYPE:FLAG …]".into());
    };
    let mut context = EvaluationContext::default();
    if !targeting_key.is_empty() {
        context = context.with_targeting_key(targeting_key);
    }
    let mut flags = Vec::new();
    for argument in arguments {
        if let Some((kind, flag)) = argument.split_once(':') {
            flags.push((kind.to_owned(), flag.to_owned()));
        } else if let Some((name, value)) = argument.split_once('=') {
            context.add_custom_field(name, value);
        } else {
            return Err(format!("{argument} is neither TYPE:FLAG nor NAME=VALUE").into());
        }
    }
    let client = connect(base_url).await?;
    for (kind, flag) in flags {
        println!("{}", ask(&client, &kind, &flag, &context).await?);
    }
    Ok(())
}

async fn connect(base_url: String) -> Result<Client, Box<dyn Error>> {
    let options = OfrepOptions {
        base_url,
        ..Default::default()
    };
    let provider = OfrepProvider::new(options)
        .await
        .map_err(|e| format!("{e:?}"))?;
    let mut api = OpenFeature::singleton_mut().await;
    api.set_provider(provider).await;
    Ok(api.create_client())
}

/// One flag, as the type that the caller wants of it.
async fn ask(
    client: &Client,
    kind: &str,
    flag: &str,
    context: &EvaluationContext,
) -> Result<Json, String> {
    let context = Some(context);
    Ok(match kind {
        "bool" => told(flag, client.get_bool_details(flag, context, None).await),
        "string" => told(flag, client.get_string_details(flag, context, None).await),
        "int" => told(flag, client.get_int_details(flag, context, None).await),
        "float" => told(flag, client.get_float_details(flag, context, None).await),
        "struct" => told(
            flag,
            client
                .get_struct_details::<StructValue>(flag, context, None)
                .await,
        ),
        _ => return Err(format!("{kind} is no type of flags")),
    })
}

fn told<T: Into<Value>>(flag: &str, result: EvaluationResult<EvaluationDetails<T>>) -> Json {
    match result {
        Ok(details) => json!({
            "flag": flag,
            "value": plain(details.value.into()),
            "variant": details.variant,
            "reason": details.reason.map(|reason| reason.to_string()),
        }),
        Err(error) => json!({
            "flag": flag,
            "errorCode": error.code.to_string(),
            "errorMessage": error.message,
        }),
    }
}

/// The SDK's value as JSON, with its kind of number: a float that is whole keeps its `.0`.
fn plain(value: Value) -> Json {
    match value {
        Value::Bool(value) => value.into(),
        Value::Int(value) => value.into(),
        Value::Float(value) => value.into(),
        Value::String(value) => value.into(),
        Value::Array(values) => values.into_iter().map(plain).collect(),
        Value::Struct(value) => value
            .fields
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect(),
    }
}
