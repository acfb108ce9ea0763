//! What stands inside a declaration: properties, methods, parameters.

use oxc::ast::ast::{
    ClassElement, FormalParameters, MethodDefinition, MethodDefinitionKind, PropertyKey, TSAccessibility,
    TSMethodSignatureKind, TSSignature, TSTypeAnnotation, TSTypeParameterDeclaration,
};
use oxc::span::{GetSpan, Span};
use serde_json::{Map, Value, json};

use super::Reader;

impl Reader<'_> {
    /// Adds `typeParameters` as written when there are some.
    pub(super) fn add_type_parameters(
        &self,
        facts: &mut Map<String, Value>,
        written: Option<&TSTypeParameterDeclaration<'_>>,
    ) {
        if let Some(written) = written {
            let texts: Vec<&str> = written.params.iter().map(|it| self.text(it.span)).collect();
            facts.insert("typeParameters".to_owned(), json!(texts));
        }
    }

    /// Adds `parameters` and `returnType`; a type that is not written is null.
    pub(super) fn add_call(
        &self,
        facts: &mut Map<String, Value>,
        parameters: &FormalParameters<'_>,
        return_type: Option<&TSTypeAnnotation<'_>>,
    ) {
        let mut all: Vec<Value> = Vec::new();
        for it in &parameters.items {
            let mut parameter = self.named(Some(self.text(it.pattern.span())));
            parameter.insert("type".to_owned(), self.written_type(it.type_annotation.as_deref()));
            parameter.insert("optional".to_owned(), (it.optional || it.initializer.is_some()).into());
            if let Some(default) = &it.initializer {
                parameter.insert("defaultValue".to_owned(), self.text(default.span()).into());
            }
            all.push(Value::Object(parameter));
        }
        if let Some(it) = &parameters.rest {
            let mut parameter = self.named(Some(self.text(it.rest.argument.span())));
            parameter.insert("type".to_owned(), self.written_type(it.type_annotation.as_deref()));
            parameter.insert("optional".to_owned(), true.into());
            parameter.insert("rest".to_owned(), true.into());
            all.push(Value::Object(parameter));
        }
        facts.insert("parameters".to_owned(), all.into());
        facts.insert("returnType".to_owned(), self.written_type(return_type));
    }

    /// Adds what an interface has: `properties` and `methods`, other signatures when there are some.
    pub(super) fn add_signatures(&self, facts: &mut Map<String, Value>, signatures: &[TSSignature<'_>]) {
        let mut lists = Lists::default();
        for signature in signatures {
            match signature {
                TSSignature::TSPropertySignature(it) => {
                    let kind = self.written_type(it.type_annotation.as_deref());
                    lists.properties.push(self.property(&it.key, kind, (it.optional, it.readonly), it.span));
                }
                TSSignature::TSMethodSignature(it) => {
                    let mut method = self.named(Some(&self.key(&it.key)));
                    self.add_type_parameters(&mut method, it.type_parameters.as_deref());
                    self.add_call(&mut method, &it.params, it.return_type.as_deref());
                    method.insert("optional".to_owned(), it.optional.into());
                    match it.kind {
                        TSMethodSignatureKind::Method => {}
                        TSMethodSignatureKind::Get => drop(method.insert("accessor".to_owned(), "get".into())),
                        TSMethodSignatureKind::Set => drop(method.insert("accessor".to_owned(), "set".into())),
                    }
                    self.jsdocs.add(&mut method, it.span);
                    lists.methods.push(Value::Object(method));
                }
                TSSignature::TSIndexSignature(it) => lists.others.push(self.signature(it.span)),
                TSSignature::TSCallSignatureDeclaration(it) => lists.others.push(self.signature(it.span)),
                TSSignature::TSConstructSignatureDeclaration(it) => lists.others.push(self.signature(it.span)),
            }
        }
        lists.add_to(facts);
    }

    /// Adds what a class has.
    pub(super) fn add_class_members(&self, facts: &mut Map<String, Value>, elements: &[ClassElement<'_>]) {
        let mut lists = Lists::default();
        for element in elements {
            match element {
                ClassElement::PropertyDefinition(it) => {
                    let kind = self.written_type(it.type_annotation.as_deref());
                    let mut property = self.property(&it.key, kind, (it.optional, it.readonly), it.span);
                    add_modifiers(&mut property, it.r#static, it.accessibility);
                    if let Some(value) = &it.value {
                        property["defaultValue"] = self.text(value.span()).into();
                    }
                    lists.properties.push(property);
                }
                ClassElement::AccessorProperty(it) => {
                    let kind = self.written_type(it.type_annotation.as_deref());
                    let mut property = self.property(&it.key, kind, (false, false), it.span);
                    add_modifiers(&mut property, it.r#static, it.accessibility);
                    lists.properties.push(property);
                }
                ClassElement::MethodDefinition(it) => lists.methods.push(self.method(it)),
                ClassElement::TSIndexSignature(it) => lists.others.push(self.signature(it.span)),
                ClassElement::StaticBlock(_) => {}
            }
        }
        lists.add_to(facts);
    }

    fn method(&self, it: &MethodDefinition<'_>) -> Value {
        let mut method = self.named(Some(&self.key(&it.key)));
        self.add_type_parameters(&mut method, it.value.type_parameters.as_deref());
        self.add_call(&mut method, &it.value.params, it.value.return_type.as_deref());
        method.insert("isAsync".to_owned(), it.value.r#async.into());
        let accessor = match it.kind {
            MethodDefinitionKind::Constructor => Some("constructor"),
            MethodDefinitionKind::Get => Some("get"),
            MethodDefinitionKind::Set => Some("set"),
            MethodDefinitionKind::Method => None,
        };
        if let Some(accessor) = accessor {
            method.insert("accessor".to_owned(), accessor.into());
        }
        self.jsdocs.add(&mut method, it.span);
        let mut method = Value::Object(method);
        add_modifiers(&mut method, it.r#static, it.accessibility);
        method
    }

    fn property(&self, key: &PropertyKey<'_>, kind: Value, (optional, readonly): (bool, bool), span: Span) -> Value {
        let mut property = self.named(Some(&self.key(key)));
        property.insert("type".to_owned(), kind);
        property.insert("optional".to_owned(), optional.into());
        property.insert("readonly".to_owned(), readonly.into());
        self.jsdocs.add(&mut property, span);
        Value::Object(property)
    }

    /// The name of a member; a computed one as written, in brackets.
    fn key(&self, key: &PropertyKey<'_>) -> String {
        match key {
            PropertyKey::PrivateIdentifier(it) => format!("#{}", it.name),
            other => match other.static_name() {
                Some(name) => name.into_owned(),
                None => format!("[{}]", self.text(other.span())),
            },
        }
    }

    /// A signature as written, without what separates it from the next one.
    fn signature(&self, span: Span) -> String {
        self.text(span).trim_end_matches([';', ',']).trim_end().to_owned()
    }

    fn written_type(&self, annotation: Option<&TSTypeAnnotation<'_>>) -> Value {
        annotation.map_or(Value::Null, |it| self.text(it.type_annotation.span()).into())
    }
}

/// The members of one declaration.
#[derive(Default)]
struct Lists {
    properties: Vec<Value>,
    methods: Vec<Value>,
    /// Index, call and construct signatures as written.
    others: Vec<String>,
}

impl Lists {
    fn add_to(self, facts: &mut Map<String, Value>) {
        facts.insert("properties".to_owned(), self.properties.into());
        facts.insert("methods".to_owned(), self.methods.into());
        if !self.others.is_empty() {
            facts.insert("signatures".to_owned(), self.others.into());
        }
    }
}

fn add_modifiers(member: &mut Value, is_static: bool, accessibility: Option<TSAccessibility>) {
    if is_static {
        member["isStatic"] = true.into();
    }
    if let Some(accessibility) = accessibility {
        let word = match accessibility {
            TSAccessibility::Private => "private",
            TSAccessibility::Protected => "protected",
            TSAccessibility::Public => "public",
        };
        member["accessibility"] = word.into();
    }
}
