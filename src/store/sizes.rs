//! What the planner knows of tables that grow. The server has them measured through one function of the
//! owner's (migrations/0027_sizes.sql, 0054 to 0056), which says why.

use crate::{Db, Result};

impl Db {
    /// Measures the tables that have grown fourfold since they were last measured; answers how many. One
    /// that somebody else measures is left to them.
    pub async fn measure_grown(&self) -> Result<i32> {
        Ok(sqlx::query_scalar("SELECT measure_grown()").fetch_one(&self.pool).await?)
    }
}
