//! What compiling asks of the world (`nodes::Surroundings`): prompt files, workspace files, keys, rights.
//! What it read is kept with the execution, so that taking it over later compiles the same plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::integrations::find;
use super::persons::{WorkspacePersons, of_workspace};
use super::supervisor::Supervisor;
use super::workspace::Workspace;
use crate::config::{Config, ModelSettings};
use crate::diagram::{Format, Person, Service};
use crate::integrations::{Manifest, read_to_use};
use crate::limits;
use crate::nodes::integrated_api::{ProviderProblem, keys};
use crate::nodes::ports::models::Cost;
use crate::nodes::ports::{Languages, ModelRequest, Ports, Usage};
use crate::nodes::{ChildFile, FileScope, Origin, Rights, Surroundings};

/// The world around one diagram.
pub struct World {
    pub root: PathBuf,
    /// The folder of the diagram's file.
    pub base_dir: Option<PathBuf>,
    pub rights: Rights,
    pub structure_only: bool,
    pub languages: Arc<dyn Languages>,
    /// Where keys are looked for.
    pub ports: Arc<Ports>,
    pub models: ModelSettings,
    /// Every person is answered by somebody else: keys do not matter.
    pub needs_no_keys: bool,
    /// It is compiled again for a run that began before: secrets and children are not looked for again.
    pub began_before: bool,
    /// The file the diagram stands in.
    pub own_path: Option<PathBuf>,
    /// Persons that any diagram may name.
    pub persons: WorkspacePersons,
    /// Texts read so far, by the name the diagram uses; also what an earlier process read.
    pub read: Mutex<BTreeMap<String, String>>,
}

impl World {
    /// The world of a diagram whose file lies in `base_dir`.
    pub fn new(supervisor: &Supervisor, base_dir: Option<PathBuf>, rights: Rights) -> Self {
        let (languages, ports) = (supervisor.languages(), supervisor.ports());
        Self::of(supervisor.config(), (languages, ports), base_dir, rights)
    }

    /// As [`World::new`], before anything runs.
    pub fn of(
        config: &Config,
        (languages, ports): (&Arc<dyn Languages>, &Arc<Ports>),
        base_dir: Option<PathBuf>,
        rights: Rights,
    ) -> Self {
        Self {
            root: config.workspace.clone(),
            base_dir,
            rights,
            structure_only: false,
            languages: Arc::clone(languages),
            ports: Arc::clone(ports),
            models: config.models.clone(),
            needs_no_keys: false,
            began_before: false,
            own_path: None,
            persons: WorkspacePersons::default(),
            read: Mutex::default(),
        }
    }

    /// Takes the texts that compiling read.
    pub fn into_read(self) -> BTreeMap<String, String> {
        self.read.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn remembered(&self, name: &str) -> Option<String> {
        self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(name).cloned()
    }

    fn remember(&self, name: &str, text: &str) {
        self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name.to_owned(), text.to_owned());
    }

    /// Where a prompt file may be: below the root for names that say so, else beside the diagram, in its
    /// `prompts/`, in the workspace's `files/prompts/` (diagrams.md 1.1).
    fn prompt_places(&self, name: &str) -> Vec<PathBuf> {
        let mut places = Vec::new();
        if name.starts_with("files/") || name.starts_with("projects/") {
            places.push(self.root.join(name));
        } else {
            if let Some(base_dir) = &self.base_dir {
                places.push(base_dir.join(name));
                places.push(base_dir.join("prompts").join(name));
            }
            places.push(self.root.join("files/prompts").join(name));
        }
        places
    }

    /// Whether the diagram may read `path`: below the root (or `files/` only), or, for a file a person runs
    /// at the terminal, beside that file.
    fn may_read(&self, path: &Path) -> bool {
        let Ok(resolved) = path.canonicalize() else { return false };
        let below = |folder: &Path| folder.canonicalize().is_ok_and(|it| resolved.starts_with(it));
        let scope = match self.rights.files {
            FileScope::Workspace => below(&self.root) && !below(&self.root.join(".dipeo")),
            FileScope::FilesFolder => below(&self.root.join("files")),
        };
        let is_local = self.rights.origin == crate::nodes::Origin::Local;
        scope || is_local && self.base_dir.as_deref().is_some_and(below)
    }

    fn read_text(&self, path: &Path) -> Option<String> {
        let metadata = std::fs::metadata(path).ok()?;
        if !metadata.is_file() || metadata.len() > limits::DIAGRAM_BYTES_MAX as u64 || !self.may_read(path) {
            return None;
        }
        std::fs::read_to_string(path).ok()
    }
}

impl Surroundings for World {
    fn structure_only(&self) -> bool {
        self.structure_only
    }

    fn rights(&self) -> &Rights {
        &self.rights
    }

    fn languages(&self) -> &dyn Languages {
        &*self.languages
    }

    fn prompt_file(&self, name: &str) -> Result<String, Vec<String>> {
        if let Some(text) = self.remembered(name) {
            return Ok(text);
        }
        let is_plain =
            Path::new(name).is_relative() && !name.split(['/', '\\']).any(|it| it == "..") && !name.contains('\0');
        let places = if is_plain { self.prompt_places(name) } else { Vec::new() };
        for place in &places {
            if let Some(text) = self.read_text(place) {
                self.remember(name, &text);
                return Ok(text);
            }
        }
        let shown = |it: &PathBuf| it.strip_prefix(&self.root).unwrap_or(it).display().to_string();
        Err(places.iter().map(shown).collect())
    }

    fn file(&self, path: &str) -> Option<String> {
        if let Some(text) = self.remembered(path) {
            return Some(text);
        }
        let text = self.read_text(&self.root.join(path))?;
        self.remember(path, &text);
        Some(text)
    }

    fn child_diagram(&self, name: &str, format: Option<Format>) -> ChildFile {
        if self.began_before {
            return ChildFile::Found;
        }
        let workspace = Workspace::new(self.root.clone());
        let beside = self.base_dir.as_deref().filter(|_| self.rights.origin == Origin::Local);
        match workspace.find_child(name, beside, format) {
            Ok(path) => {
                let same = |own: &PathBuf| own.canonicalize().ok() == path.canonicalize().ok();
                if self.own_path.as_ref().is_some_and(same) { ChildFile::Itself } else { ChildFile::Found }
            }
            Err(not_found) => not_found,
        }
    }

    fn has_key(&self, service: Service, api_key_id: Option<&str>) -> bool {
        if self.needs_no_keys || self.models.has_key(service) {
            return true;
        }
        // A store that cannot be read has no key to offer; the run says why.
        let has_secret = |id: &str| self.ports.secrets.find(id).is_ok_and(|it| it.is_some());
        self.rights.private_network && api_key_id.is_some_and(has_secret)
    }

    fn has_secret(&self, name: &str) -> bool {
        if self.began_before {
            return true;
        }
        // A store that cannot be read says so itself when the node runs.
        self.ports.secrets.list().map_or(true, |all| all.iter().any(|it| it.name == name))
    }

    fn person(&self, name: &str) -> Option<Person> {
        // The text is kept with the execution: taking it over compiles the same plan.
        let kept_as = of_workspace::kept_as(name);
        let remembered = self.remembered(&kept_as);
        let text = remembered.or_else(|| (!self.began_before).then(|| self.persons.find(name))?)?;
        let person = of_workspace::read_kept(&text)?;
        self.remember(&kept_as, &text);
        Some(person)
    }

    fn person_names(&self) -> Vec<String> {
        self.persons.names()
    }

    fn default_model(&self, service: Service) -> Option<String> {
        self.models.default_model(service).map(str::to_owned)
    }

    fn is_priced(&self, person: &Person) -> bool {
        let Some(service) = person.service.filter(|_| !self.needs_no_keys) else { return true };
        let request = ModelRequest::new(Arc::new(person.clone()), service, Vec::new());
        self.ports.models.price(&request, Usage { input: 1, output: 1, cached: 0 }) != Cost::Unpriced
    }

    fn provider(&self, name: &str) -> Result<Arc<Manifest>, ProviderProblem> {
        // The text is kept with the execution: taking it over compiles the same plan.
        let kept_as = format!("integrations/{name}");
        let found = match self.remembered(&kept_as) {
            Some(text) => Some((kept_as.clone(), text)),
            None => find::manifest(&self.root, name).map(|it| (it.shown, it.text)),
        };
        let (path, text) = found.ok_or(ProviderProblem::Unknown)?;
        let read = read_to_use(&text);
        let Some(manifest) = read.manifest else {
            let first = read.diagnostics.iter().find(|it| it.code != "E802");
            let problem = first.map(|it| format!("line {}: {}", it.span.line, it.message)).unwrap_or_default();
            return Err(ProviderProblem::Invalid { path, problem });
        };
        self.remember(&kept_as, &text);
        Ok(Arc::new(manifest))
    }

    fn provider_names(&self) -> Vec<String> {
        find::names(&self.root)
    }

    fn has_provider_key(&self, manifest: &Manifest, api_key_id: Option<&str>) -> bool {
        self.needs_no_keys || keys::present(manifest, api_key_id, &self.ports).is_ok_and(|it| it.is_some())
    }
}
