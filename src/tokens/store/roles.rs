//! Some of the roles of a store.

use crate::ids::RoleId;

/// Some of the roles of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleSet([u64; 4]);

impl RoleSet {
    /// Whether a role is among them. What has no role never is.
    pub fn contains(&self, role: RoleId) -> bool {
        role != RoleId::NONE && self.0[usize::from(role.0 / 64)] >> (role.0 % 64) & 1 == 1
    }
}

impl FromIterator<RoleId> for RoleSet {
    fn from_iter<I: IntoIterator<Item = RoleId>>(roles: I) -> Self {
        let mut set = Self::default();
        for role in roles {
            set.0[usize::from(role.0 / 64)] |= 1 << (role.0 % 64);
        }
        set
    }
}
