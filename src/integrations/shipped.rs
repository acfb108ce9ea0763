//! The providers that come with the program, as manifests.

/// One manifest.
pub struct Shipped {
    pub name: &'static str,
    /// YAML.
    pub text: &'static str,
    /// An operation with its recording, written after the provider's documentation.
    pub recorded: (&'static str, &'static str),
}

impl Shipped {
    /// The recording of an operation, as JSON text.
    pub fn recording(&self, operation: &str) -> Option<&'static str> {
        (self.recorded.0 == operation).then_some(self.recorded.1)
    }
}

macro_rules! shipped {
    ($($name:literal: $operation:literal),+) => {
        /// By name.
        pub const ALL: &[Shipped] = &[$(Shipped {
            name: $name,
            text: include_str!(concat!("../../resources/integrations/", $name, "/provider.yaml")),
            recorded: (
                $operation,
                include_str!(concat!("../../resources/integrations/", $name, "/recordings/", $operation, ".json")),
            ),
        }),+];
    };
}

shipped!(
    "arxiv": "search",
    "discord": "create_message",
    "example": "get_post",
    "github": "list_issues",
    "notion": "query_database",
    "slack": "post_message",
    "wikipedia": "summary"
);

/// Returns the manifest of this name.
pub fn find(name: &str) -> Option<&'static Shipped> {
    ALL.iter().find(|it| it.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrations::read;

    #[test]
    fn every_shipped_manifest_is_valid_and_describes_its_operations() {
        for shipped in ALL {
            let read = read(shipped.text);
            assert!(read.diagnostics.is_empty(), "{}: {:?}", shipped.name, read.diagnostics);
            let manifest = read.manifest.expect("it is valid");
            assert_eq!(manifest.name, shipped.name);
            for operation in &manifest.operations {
                assert!(operation.description.is_some(), "{} {}", manifest.name, operation.name);
            }
        }
    }
}
